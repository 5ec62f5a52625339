#!/usr/bin/env python3
"""An event file as TensorFlow makes it, for tests/unit/test_events.c to make again byte for byte. Run it in
.venv/oracle; made with TensorFlow 2.21.0 and TensorBoard 2.21.0.

The scalars' summaries are those that tf.summary.scalar writes; time and step, which it takes from the clock and the
call, are set here. TensorFlow frames the records.
"""
import glob
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import tensorflow as tf  # noqa: E402
from tensorflow.core.util import event_pb2  # noqa: E402

TARGET = Path(__file__).resolve().parent / "events/tensorflow.tfevents"
BEGIN = 1.7e9
# (time, tag, step, value)
SCALARS = [(BEGIN + 0.25, "epoch_loss", 0, 1.5), (BEGIN + 0.25, "batch_loss", 300, float("nan")),
           (BEGIN + 2, "learning_rate", 1 << 40, 1e-3)]


def summary(tag, value):
    """What TensorFlow writes for one scalar."""
    with tempfile.TemporaryDirectory() as folder:
        writer = tf.summary.create_file_writer(folder)
        with writer.as_default():
            tf.summary.scalar(tag, value, step=7)
        writer.close()
        *_, last = tf.data.TFRecordDataset(glob.glob(f"{folder}/*"))
        return event_pb2.Event.FromString(last.numpy()).summary


def content():
    """The bytes of the file."""
    version = event_pb2.Event(wall_time=BEGIN, file_version="brain.Event:2")
    start = event_pb2.Event(wall_time=BEGIN, step=1, session_log=event_pb2.SessionLog(
        status=event_pb2.SessionLog.START))
    scalars = [event_pb2.Event(wall_time=time, step=step, summary=summary(tag, value))
               for time, tag, step, value in SCALARS]
    with tempfile.TemporaryDirectory() as folder:
        with tf.io.TFRecordWriter(f"{folder}/events") as out:
            for event in (version, start, *scalars):
                out.write(event.SerializeToString(deterministic=True))
        return Path(folder, "events").read_bytes()


if __name__ == "__main__":
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(content())
