import json
import re

import numpy as np
import pytest
from PIL import Image

from mmexact.masks import open_masks, read_mask

CLASSES = ['Background', 'Corn', 'Meadow']
IDS = ['a_0', 'a_1']


def save(folder, names=IDS, mask=((0, 1), (2, 255)), **manifest):
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.array(mask, np.uint8)).save(folder / f'{name}.png')
    content = dict(kind='pseudo masks', complete=True, classes=CLASSES) | manifest
    (folder / 'manifest.json').write_text(json.dumps(content))
    return folder


def test_finished_masks_of_these_classes_are_opened(tmp_path):
    save(tmp_path, scores={'pseudo/OA': 80.0})
    assert open_masks(tmp_path, CLASSES, IDS)['scores'] == {'pseudo/OA': 80.0}
    assert open_masks(str(tmp_path), tuple(CLASSES), IDS[1:])['complete'] is True
    mask = read_mask(tmp_path / 'a_0.png', (2, 2), 3)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 1], [2, 255]]
    mask[0] = 7  # belongs to the caller


@pytest.mark.parametrize(
    ('manifest', 'message'),
    [
        (dict(classes=['Background', 'Corn']), r"other classes: \['Background', 'Corn'\], but .*"),
        (dict(classes=None), r'masks of other classes: None, but the dataset has'),
        (
            dict(classes=['Background', 'Meadow', 'Corn']),
            r"the same classes in another order: \['Background', 'Meadow', 'Corn'\], but the "
            r"dataset has \['Background', 'Corn', 'Meadow'\]",
        ),
        (dict(complete=False), r'unfinished; run tools/gen_pseudo\.py again'),
        (dict(kind='maps'), r'not a manifest of pseudo masks; choose the folder of pseudo masks'),
    ],
)
def test_masks_that_stage_3_must_not_learn_from(tmp_path, manifest, message):
    with pytest.raises(ValueError, match=message):
        open_masks(save(tmp_path, **manifest), CLASSES, IDS)


def test_missing_masks_are_counted_and_the_command_is_named(tmp_path):
    command = rf'\n  python tools/gen_pseudo\.py CONFIG CHECKPOINT --out {re.escape(str(tmp_path))}'
    save(tmp_path / 'some', IDS[:1])
    with pytest.raises(FileNotFoundError, match=rf'1 of 2 windows .*first a_1\.png.*{command}/som'):
        open_masks(tmp_path / 'some', CLASSES, IDS)
    with pytest.raises(FileNotFoundError, match=r'nowhere: pseudo masks of 2 of 2 windows'):
        open_masks(tmp_path / 'nowhere', CLASSES, IDS)


def test_masks_of_other_windows_are_another_project_s(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'2 of 2 .*there is b_0\.png: choose the folder'):
        open_masks(save(tmp_path, ['b_0', 'b_1']), CLASSES, IDS)


def test_masks_without_a_manifest_say_what_is_missing(tmp_path):
    (save(tmp_path) / 'manifest.json').unlink()
    with pytest.raises(ValueError, match=r'holds masks, but no manifest\.json') as refusal:
        open_masks(tmp_path, CLASSES, IDS)
    # What the message tells to write is what is accepted.
    told = re.search(r'\{"kind".*\}', str(refusal.value)).group()
    (tmp_path / 'manifest.json').write_text(told.replace('[...]', json.dumps(CLASSES)))
    assert open_masks(tmp_path, CLASSES, IDS)['classes'] == CLASSES


def test_a_damaged_manifest_is_named(tmp_path):
    (save(tmp_path) / 'manifest.json').write_text('{"kind": "pseudo ma')
    with pytest.raises(ValueError, match=r'manifest\.json: not valid JSON'):
        open_masks(tmp_path, CLASSES, IDS)


def test_masks_of_another_size_type_or_label_are_refused(tmp_path):
    path = save(tmp_path, mask=[[3, 3], [0, 255]]) / 'a_0.png'
    with pytest.raises(ValueError, match=r'a_0\.png: label 3 .* in 2 pixels; expected 0\.\.2, or'):
        read_mask(path, (2, 2), 3)
    with pytest.raises(ValueError, match=r'expected a mask of \(2, 3\) pixels .*got \(2, 2\)'):
        read_mask(path, (2, 3), 4)
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(path)
    with pytest.raises(ValueError, match='of type uint16'):
        read_mask(path, (2, 2), 3)


@pytest.mark.parametrize('kept', [0, 40])
def test_a_damaged_mask_is_named(tmp_path, kept):
    path = save(tmp_path, mask=np.zeros((50, 50))) / 'a_0.png'
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r'a_0\.png: cannot be read as a PNG'):
        read_mask(path, (50, 50), 3)
    with pytest.raises(FileNotFoundError, match=r'a_7\.png'):
        read_mask(tmp_path / 'a_7.png', (50, 50), 3)
