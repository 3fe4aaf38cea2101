from collections.abc import Sequence

from splitwire.spans import Recorder, Recording, Span, in_sequence


class Nowhere:
    def export(self, spans: Sequence[Span]) -> None: ...

    def close(self) -> None: ...


def test_who_says_is_obeyed_and_of_the_others_a_share_is_recorded() -> None:
    for share, expected in ((0.0, 0), (1.0, 1000)):
        recorder = Recorder(Nowhere(), share)
        assert recorder.wants(True)
        assert not recorder.wants(False)
        assert sum(recorder.wants(None) for _ in range(1000)) == expected
    assert 0 < sum(Recorder(Nowhere(), 0.5).wants(None) for _ in range(1000)) < 1000


def test_stages_follow_each_other_and_end_where_they_should() -> None:
    spans = in_sequence(
        [("a", 1_000_000), ("b", 2_500_000)], trace_id=bytes(16), parent_id=bytes(8), end_ns=10_000_000
    )
    assert [(s.name, s.start_ns, s.end_ns) for s in spans] == [
        ("a", 6_500_000, 7_500_000),
        ("b", 7_500_000, 10_000_000),
    ]
    assert len({span.span_id for span in spans}) == 2


def test_the_first_call_counts_and_the_last_cloud() -> None:
    recording = Recording(bytes(16), None)
    recording.note_call("a:1")
    first = recording.called_ns
    recording.note_call("b:2")
    assert (recording.called, recording.called_ns) == ("b:2", first)
