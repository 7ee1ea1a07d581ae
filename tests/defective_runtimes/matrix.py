"""Which case convicts which defect: `python tests/defective_runtimes/matrix.py`.

Every defective runtime is run as an adapter, in a process of its own, against every case; then `matrix.json` beside
this file and `docs/matrix.md` are written; `matrix.py NAME …` does only these
rows again, `--chapter` only these columns. `--convict` stops a defect's
run at its first conviction, and writes nothing. The exit status is 1 when the sound runtime fails a case, or a
defect is convicted by none.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from defective_runtimes import record
from defective_runtimes.catalogue import DEFECTS
from defective_runtimes.trial import CASES, Trial, adapter

if TYPE_CHECKING:
    from collections.abc import Sequence

SOUND = "sound"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for, tell how it goes, and write the matrix."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("defect", nargs="*", choices=[*DEFECTS, []], metavar="NAME", help="only these")
    parser.add_argument("--chapter", action="append", help="only its cases; may be given several times")
    parser.add_argument("--convict", action="store_true", help="stop at the first case that convicts")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1), help="defects at once")
    options = parser.parse_args(arguments)
    names = [SOUND, *(options.defect or DEFECTS)]
    cases = [case for case in CASES if options.chapter is None or case.partition("/")[0] in options.chapter]
    started = time.monotonic()
    rows: dict[str, dict[str, record.Conviction]] = {}
    with ThreadPoolExecutor(options.jobs) as threads:
        runs = {threads.submit(row, name, cases, convict=options.convict and name != SOUND): name for name in names}
        for done in as_completed(runs):
            name = runs[done]
            rows[name], took_s = done.result()
            if name != SOUND and not options.convict:
                record.write({name: rows[name]}, [*CASES], cases)
            print(f"{name}: {len(rows[name])} of {len(cases)} cases convict it ({took_s:.1f} s)", flush=True)
            if options.defect or name == SOUND:
                for case, conviction in rows[name].items():
                    print(f"  {case}: {conviction.finding[:200]}", flush=True)
    sound = rows.pop(SOUND)
    unconvicted = [name for name in rows if not rows[name]]
    print(f"{len(rows)} defects, {len(cases)} cases, {time.monotonic() - started:.0f} s")
    print(f"unconvicted: {', '.join(unconvicted) or 'none'}")
    return 1 if sound or unconvicted else 0


def row(name: str, cases: Sequence[str], *, convict: bool) -> tuple[dict[str, record.Conviction], float]:
    """The cases that convict this defect, and the seconds that took. Each convicts it twice, or does not count."""
    started = time.monotonic()
    found: dict[str, record.Conviction] = {}
    runtime = adapter(name)
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(runtime, Path(scratch), soaks=name == SOUND or DEFECTS[name].soaks)
        for case in cases:
            began = time.monotonic()
            finding, *_ = trial.findings(case) or [""]
            took_s = time.monotonic() - began
            if "refusal" in finding[:30] and DEFECTS[name].family != "process":
                print(f"{name} is planted wrongly: {case}: {finding}", flush=True)
                continue
            # What only happens on a busy machine does not happen again.
            if finding and (finding.startswith("runtime-died") or trial.findings(case)):
                found[case] = record.Conviction(finding=finding, took_s=took_s)
                if convict:
                    break
    runtime.close()
    if name != SOUND and not convict:
        _mark_quick(name, found)
    return found, time.monotonic() - started


def _mark_quick(name: str, found: dict[str, record.Conviction]) -> None:
    """Find the case that convicts this defect soonest, alone in a process of its own."""
    # Steps of 50 ms, and then the order of the suite: small differences are noise, and would be one in git.
    for case in sorted(found, key=lambda case: int(found[case].took_s * 20)):
        runtime = adapter(name)
        with tempfile.TemporaryDirectory() as scratch:
            is_quick = bool(Trial(runtime, Path(scratch)).findings(case))
        runtime.close()
        if is_quick:
            found[case] = found[case]._replace(is_quick=True)
            return


if __name__ == "__main__":
    sys.exit(main())
