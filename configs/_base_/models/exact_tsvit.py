"""The paper's classifier for 10 bands; a config says how many crops there are."""

model = dict(
    type='ExactClassifier',
    backbone=dict(
        type='TSViT',
        in_channels=10,
        img_size=24,
        patch_size=2,
        embed_dims=128,
        temporal_depth=8,
        spatial_depth=4,
        num_heads=4,
        head_dims=64,
        mlp_ratio=4,
        global_token=True,
        # What the published classifier computes, and that it lets attention see padded dates.
        attn_residual='normed',
        mask_padding=False,
    ),
    cls_head=dict(type='ClassTokenHead', embed_dims=128),
    spatial_clue_head=dict(
        type='SpatialClueHead',
        embed_dims=128,
        num_prototypes=2,
        start_iter=4000,
        momentum=0.999,
        fg_threshold=0.4,
        bg_threshold=0.2,
        loss_weight=0.01,
    ),
    temporal_clue_head=dict(type='TemporalClueHead', dilation=2, num_steps=3, loss_weight=0.015),
    test_cfg=dict(cam='clue', background_score=0.33, presence='image_labels'),
)
