"""Timelines for editing programs: a storyboard as OTIO, EDL or Final Cut 7 XML. Each file is read back."""

from animatic.review.timeline.written import TimelineWritten, check_suffix, write_timeline

__all__ = ["TimelineWritten", "check_suffix", "write_timeline"]
