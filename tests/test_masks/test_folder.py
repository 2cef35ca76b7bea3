import json
import multiprocessing
import os
import time

import pytest
from torch import nn

from mmexact.masks import (
    ResumableFolder,
    check_name,
    config_digest,
    read_manifest,
    weights_digest,
    whole_file,
    write_json,
)

INPUTS = dict(config='abc', days=(1, 2))
FILES = ['a.txt', 'deep/b.txt']


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def opened(path, inputs=INPUTS, files=FILES, **settings):
    return ResumableFolder(path, 'notes', inputs, files, **settings)


def fill(folder, files=FILES):
    for name in files:
        with folder.writing(name) as path:
            path.write_text(name)


class TestWholeFile:
    def test_it_gets_its_name_when_the_block_ends(self, tmp_path):
        path = tmp_path / 'new' / 'a.txt'
        with whole_file(path) as unfinished:
            unfinished.write_text('half')
            assert names(tmp_path) == [f'new/{unfinished.name}']
            assert unfinished.suffix == '.part'
        assert names(tmp_path) == ['new/a.txt']
        assert path.read_text() == 'half'

    def test_a_failure_leaves_the_earlier_file(self, tmp_path):
        write_json(tmp_path / 'a.json', [1])
        with pytest.raises(TypeError), whole_file(tmp_path / 'a.json') as unfinished:
            unfinished.write_text(3)
        assert names(tmp_path) == ['a.json']
        assert json.loads((tmp_path / 'a.json').read_text()) == [1]

    def test_two_writers_do_not_disturb_each_other(self, tmp_path):
        with whole_file(tmp_path / 'a.txt') as first, whole_file(tmp_path / 'a.txt') as second:
            first.write_text('first')
            second.write_text('second')
        assert names(tmp_path) == ['a.txt']
        assert (tmp_path / 'a.txt').read_text() == 'first'  # it ended last


def test_the_manifest_says_what_is_there_before_and_after(tmp_path):
    folder = opened(tmp_path / 'out', facts=dict(classes=('x', 'y')))
    expected = dict(
        kind='notes',
        inputs=dict(config='abc', days=[1, 2]),
        classes=['x', 'y'],
        complete=False,
        files=FILES,
    )
    assert read_manifest(tmp_path / 'out', 'notes') == folder.manifest == expected
    assert not folder.has('a.txt')
    fill(folder)
    assert folder.has(*FILES)
    finished = folder.finish(count=2)
    assert finished == read_manifest(tmp_path / 'out', 'notes')
    assert finished == dict(expected, complete=True, count=2)
    assert list(finished)[-1] == 'files'  # the long list does not hide the rest


def test_an_interrupted_run_goes_on(tmp_path):
    fill(opened(tmp_path), FILES[:1])
    (tmp_path / 'deep').mkdir()
    left = tmp_path / 'deep' / 'b.txt.12ab.part'
    left.write_text('half')
    os.utime(left, (1, 1))
    again = opened(tmp_path)
    assert again.has('a.txt')
    assert not again.has(*FILES)
    with pytest.raises(FileNotFoundError, match=r'1 of 2 files are missing, first deep/b\.txt'):
        again.finish()
    assert again.manifest['complete'] is False
    fill(again, FILES[1:])
    (tmp_path / 'deep' / 'c.txt.34cd.part').write_text('a run beside this one')
    again.finish()
    assert names(tmp_path) == ['a.txt', 'deep/b.txt', 'deep/c.txt.34cd.part', 'manifest.json']


def test_a_finished_folder_stays_finished(tmp_path):
    folder = opened(tmp_path)
    fill(folder)
    folder.finish(score=1)
    assert opened(tmp_path).manifest == folder.manifest


def test_other_inputs_are_refused_unless_told(tmp_path):
    fill(opened(tmp_path))
    (tmp_path / 'mine.txt').write_text('not listed')
    other = dict(INPUTS, config='xyz')
    with pytest.raises(
        FileExistsError, match=r"notes of other inputs \(config: 'abc' there, 'xyz' now\).*--over"
    ):
        opened(tmp_path, other)
    assert names(tmp_path) == ['a.txt', 'deep/b.txt', 'manifest.json', 'mine.txt']
    folder = opened(tmp_path, other, overwrite=True)
    assert names(tmp_path) == ['manifest.json', 'mine.txt']
    assert folder.manifest['inputs']['config'] == 'xyz'


@pytest.mark.parametrize('overwrite', [False, True])
def test_files_of_others_are_never_replaced(tmp_path, overwrite):
    (tmp_path / 'a.txt').write_text('not ours')
    with pytest.raises(FileExistsError, match=r'a\.txt is there, but manifest\.json does not list'):
        opened(tmp_path, overwrite=overwrite)
    assert names(tmp_path) == ['a.txt']


@pytest.mark.parametrize('overwrite', [False, True])
@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('{"kind": "notes", "fil', r'manifest\.json: damaged \(.*expected a manifest of notes'),
        ('[]', r'manifest\.json: not a manifest of notes; choose another folder'),
        ('{"kind": "maps", "files": ["a.txt"]}', 'not a manifest of notes'),
    ],
)
def test_a_manifest_that_is_damaged_or_another_stays(tmp_path, overwrite, text, message):
    (tmp_path / 'manifest.json').write_text(text)
    (tmp_path / 'a.txt').write_text('not ours')
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, overwrite=overwrite)
    with pytest.raises(ValueError, match=message):
        read_manifest(tmp_path, 'notes')
    assert (tmp_path / 'manifest.json').read_text() == text
    assert (tmp_path / 'a.txt').exists()


def test_a_folder_without_manifest_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'manifest\.json: no such file; expected a folder'):
        read_manifest(tmp_path, 'notes')


def test_more_files_are_added_and_fewer_forget_none(tmp_path):
    folder = opened(tmp_path, files=FILES[:1])
    fill(folder, FILES[:1])
    folder.finish()
    more = opened(tmp_path)
    assert more.manifest['complete'] is False
    assert more.has('a.txt')
    fill(more, FILES[1:])
    more.finish()
    fewer = opened(tmp_path, files=FILES[1:])
    assert sorted(fewer.finish()['files']) == FILES
    opened(tmp_path)  # a.txt is still listed


def work(path, barrier, pause):
    folder = opened(path, files=[f'{number}.txt' for number in range(40)])
    barrier.wait()
    for name in folder.manifest['files']:
        if not folder.has(name):
            with folder.writing(name) as unfinished:
                unfinished.write_text(name)
                time.sleep(pause)
    folder.finish()


def test_two_processes_share_a_folder(tmp_path):
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(2)
    processes = [
        context.Process(target=work, args=(tmp_path, barrier, pause)) for pause in (0.001, 0.002)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    manifest = read_manifest(tmp_path, 'notes')
    assert manifest['complete'] is True
    assert names(tmp_path) == sorted([*manifest['files'], 'manifest.json'])
    assert all((tmp_path / name).read_text() == name for name in manifest['files'])


def test_digests():
    assert config_digest(dict(a=1, b=2)) == config_digest(dict(b=2, a=1))
    assert config_digest(dict(a=1)) != config_digest(dict(a=2))
    assert config_digest(1, 2) != config_digest(2, 1)
    assert config_digest({1: 'corn', 'x': 2}) == config_digest({'x': 2, 1: 'corn'})
    model = nn.BatchNorm1d(2)
    before = weights_digest(model.state_dict())
    assert before == weights_digest(nn.BatchNorm1d(2).state_dict())
    model.running_mean[1] = 0.5
    assert weights_digest(model.state_dict()) != before
    assert weights_digest(model.bfloat16().state_dict()) != before


@pytest.mark.parametrize(
    'name',
    [
        '',
        '..',
        '../up',
        '/etc',
        'C:drive',
        'a\\b',
        'nul\0',
        'NUL',
        'com1.tif',
        '.hidden',
        'dot.',
        'x' * 201,
    ],
)
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(ValueError, match=r'ids\.csv: .* cannot be the name of a file'):
        check_name(name, 'ids.csv')


@pytest.mark.parametrize('name', ['10000_7', 'S2 área 2023', 'a.b', 'console', 'x' * 200])
def test_common_names_are_taken(name):
    check_name(name, 'ids.csv')


@pytest.mark.parametrize('overwrite', [False, True])
def test_a_manifest_cannot_reach_other_folders(tmp_path, overwrite):
    precious = tmp_path / 'precious.txt'
    precious.write_text('mine')
    fill(opened(tmp_path / 'out'))
    manifest = read_manifest(tmp_path / 'out', 'notes')
    write_json(tmp_path / 'out/manifest.json', manifest | dict(files=['deep/../../precious.txt']))
    with pytest.raises(ValueError, match=r"manifest\.json: '\.\.' cannot be the name of a file"):
        opened(tmp_path / 'out', overwrite=overwrite)
    assert precious.read_text() == 'mine'


@pytest.mark.parametrize('overwrite', [False, True])
def test_links_in_the_folder_are_not_followed(tmp_path, overwrite):
    fill(opened(tmp_path / 'out'))
    (tmp_path / 'out/deep').rename(tmp_path / 'elsewhere')
    (tmp_path / 'out/deep').symlink_to(tmp_path / 'elsewhere', target_is_directory=True)
    before = sorted(tmp_path.glob('elsewhere/*'))
    assert before
    with pytest.raises(FileExistsError, match=r'out/deep is a symbolic link'):
        opened(tmp_path / 'out', overwrite=overwrite)
    assert sorted(tmp_path.glob('elsewhere/*')) == before
