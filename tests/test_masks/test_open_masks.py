import json
import re

import numpy as np
import pytest

from mmexact.masks import open_masks, write_mask

CLASSES = ['Background', 'Corn', 'Meadow']
IDS = ['a_0', 'a_1']


def save(folder, names=IDS, **manifest):
    for name in names:
        write_mask(folder / f'{name}.png', np.array([[0, 1], [2, 255]], np.uint8))
    content = dict(kind='pseudo masks', complete=True, classes=CLASSES) | manifest
    (folder / 'manifest.json').write_text(json.dumps(content))
    return folder


def test_finished_masks_of_these_classes_are_opened(tmp_path):
    save(tmp_path, scores={'pseudo/OA': 80.0})
    assert open_masks(tmp_path, CLASSES, IDS)['scores'] == {'pseudo/OA': 80.0}
    assert open_masks(str(tmp_path), tuple(CLASSES), IDS[1:])['complete'] is True


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
        (dict(complete=False), r'unfinished; run the tool that makes them again'),
        (dict(kind='maps'), r'not a manifest of pseudo masks; choose another folder'),
    ],
)
def test_masks_that_stage_3_must_not_learn_from(tmp_path, manifest, message):
    with pytest.raises(ValueError, match=message):
        open_masks(save(tmp_path, **manifest), CLASSES, IDS)


def test_missing_masks_are_counted_and_the_command_is_named(tmp_path):
    command = rf'tools/refine_pseudo\.py, the last one with --out {re.escape(str(tmp_path))}'
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
    with pytest.raises(ValueError, match=r'manifest\.json: damaged \('):
        open_masks(tmp_path, CLASSES, IDS)
