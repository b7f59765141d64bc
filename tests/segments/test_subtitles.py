"""Subtitles: times, overlaps, what would be taken for formatting."""

from keras_i3d.segments import Segment, subtitles


def segment(label, start, end, score=0.5):
    return Segment(label, 0, score, start, end)


def test_srt_has_one_cue_from_each_change_to_the_next():
    text = subtitles.srt([segment("run", 0, 4, 0.98), segment("jump", 2.0004, 6), segment("rest", 8, 9)])
    assert text == (
        "1\n00:00:00,000 --> 00:00:02,000\nrun 98%\n\n"
        "2\n00:00:02,000 --> 00:00:04,000\nrun 98%\njump 50%\n\n"
        "3\n00:00:04,000 --> 00:00:06,000\njump 50%\n\n"
        "4\n00:00:08,000 --> 00:00:09,000\nrest 50%\n\n"
    )


def test_vtt_has_a_cue_for_each():
    text = subtitles.vtt([segment("jump", 2, 6), segment("run", 0, 4, 0.98), segment("none", 5, 5.0001)])
    assert text == ("WEBVTT\n\n00:00:00.000 --> 00:00:04.000\nrun 98%\n\n00:00:02.000 --> 00:00:06.000\njump 50%\n")


def test_hours_and_milliseconds():
    late = [segment("run", 3599.9996, 3 * 3600 + 62.3454), segment("run", 100 * 3600, 100 * 3600 + 1)]
    assert subtitles.srt(late).splitlines()[1] == "01:00:00,000 --> 03:01:02,345"
    assert subtitles.vtt(late).splitlines()[5] == "100:00:00.000 --> 100:00:01.000"


def test_what_a_reader_would_take_for_something_else():
    """A line break would end the cue, an arrow begin one, < and { formatting."""
    odd = [segment("a <b> & {\\an8} --> c\n\nd", 0, 1), segment("  ", 1, 2)]
    assert subtitles.vtt(odd).splitlines()[3] == "a &lt;b&gt; &amp; {\\an8} --&gt; c d 50%"
    srt = subtitles.srt(odd).splitlines()
    assert srt[2] == "a \u2039b\u203a & (\\an8) --\u203a c d 50%"
    assert srt[6] == "(no name) 50%"


def test_nothing_found():
    assert subtitles.srt([]) == ""
    assert subtitles.vtt([]) == "WEBVTT\n"
