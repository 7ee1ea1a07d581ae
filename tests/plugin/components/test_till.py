"""A `Component.toml` alone finds what authors fear, in guests of several languages, and names it."""

from __future__ import annotations

import pytest

from support import till_guest


@pytest.mark.slow
@pytest.mark.parametrize("language", till_guest.COMMITTED)
def test_each_of_six_faults_is_found_without_python_and_nothing_else_is_accused(project, language):
    till_guest.write(project.folder, till_guest.FOLDER / "till" / till_guest.COMMITTED[language])
    till_guest.check(project.run(*till_guest.OPTIONS).text)
