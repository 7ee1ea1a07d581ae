"""A driver of the bundled adapter."""

from __future__ import annotations

import pytest

from support.session_client import GUEST, Client


@pytest.fixture
def client(tmp_path):
    """A driver of the bundled adapter, which ends well and has said nothing that nobody heard."""
    guest = tmp_path / "guest.wat"
    guest.write_text(GUEST)
    client = Client(guest)
    yield client
    assert client.end() == []
    assert client.adapter.returncode == 0
