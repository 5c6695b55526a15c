"""What the demo says of its result, without running it."""

from __future__ import annotations

from deploy.demo import summary_lines

RESULT = {
    "fixed_ladder_points": 40, "seconds": 250.4, "comparison_seconds": 31.0, "frames_sent": 9000, "frames_lost": 0,
    "s_low": 0.93, "s_high": 1.05, "tc_error_k": 0.3, "tc_local_error_k": 1.25, "tc_resolved_fraction": 0.97,
    "tc_pixels": 4000, "temperature_points": 22, "sigma_zz_error_gpa": 0.1, "sigma_zz_resolved_fraction": 0.9,
}  # fmt: skip


def test_each_error_of_tc_says_which_truth_it_is_against_and_the_time_is_the_runs() -> None:
    lines = summary_lines(RESULT)
    assert lines[0] == "measured in 250 s: 9000 frames sent, 0 lost"
    assert any("0.30 K against the onset of the twin's noise-free s(T)" in line for line in lines)
    assert any("1.25 K against the sample's own Tc at the pixel" in line for line in lines)
