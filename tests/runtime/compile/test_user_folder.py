"""The folder of the compile cache that is used if no other is given."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

import pytest

from pytest_airssys_wasm import CacheUnavailable, CompileCache
from pytest_airssys_wasm.runtime.compile.user_folder import user_cache_path


def test_the_cache_is_where_the_user_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_path() == tmp_path / "pytest-airssys-wasm"
    assert CompileCache().directory == user_cache_path()


@pytest.mark.parametrize("given", [None, "", "relative"])
def test_without_a_usable_setting_it_is_in_the_home_directory(given, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    if given is None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert user_cache_path() == tmp_path / ".cache" / "pytest-airssys-wasm"


def test_without_a_home_it_is_in_that_of_the_account(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    assert user_cache_path() == Path("~/.cache/pytest-airssys-wasm").expanduser()


@pytest.mark.parametrize("home", [None, "relative"])
def test_without_home_and_account_it_is_among_the_temporary_files(home, tmp_path, monkeypatch):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    found = user_cache_path()
    assert found == tmp_path / f"pytest-airssys-wasm-of-{os.geteuid()}"
    assert CompileCache()._usable()
    assert found.stat().st_mode & 0o777 == 0o700


def test_a_folder_with_an_impossible_name_is_one_warning():
    with pytest.warns(CacheUnavailable, match="not the path of a folder"):
        assert not CompileCache("a\0b")._usable()
