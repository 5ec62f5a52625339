"""tfdata_load.py DATA SIZE [THREADS] [accurate]: pictures a second of tf.data from the same shards: read, decode, cut to the box,
antialiased resize, mirror, [-1, 1], batches of 32. SECONDS in the environment (5); "accurate": libjpeg's exact transform
instead of TensorFlow's default, the fast one."""
import glob
import os
import sys
import time

THREADS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", TF_NUM_INTEROP_THREADS=str(THREADS),
                  TF_NUM_INTRAOP_THREADS=str(THREADS))
import tensorflow as tf  # noqa: E402

DATA, SIZE = sys.argv[1], int(sys.argv[2])
SECONDS = float(os.environ.get("SECONDS", "5"))
METHOD = "INTEGER_ACCURATE" if sys.argv[4:] == ["accurate"] else ""
PICTURES = 512
BOX = "image/object/bbox/"
FEATURES = {"image/encoded": tf.io.FixedLenFeature([], tf.string),
            "image/class/label": tf.io.FixedLenFeature([], tf.int64),
            **{BOX + side: tf.io.FixedLenFeature([], tf.float32, default_value=0.0 if side.endswith("min") else 1.0)
               for side in ("xmin", "ymin", "xmax", "ymax")}}


def load(record):
    f = tf.io.parse_single_example(record, FEATURES)
    shape = tf.cast(tf.io.extract_jpeg_shape(f["image/encoded"]), tf.float32)
    y1, y2 = (tf.cast(tf.round(f[BOX + side] * shape[0]), tf.int32) for side in ("ymin", "ymax"))
    x1, x2 = (tf.cast(tf.round(f[BOX + side] * shape[1]), tf.int32) for side in ("xmin", "xmax"))
    window = tf.stack([y1, x1, y2 - y1, x2 - x1])
    picture = tf.image.decode_and_crop_jpeg(f["image/encoded"], window, channels=3, dct_method=METHOD)
    picture = tf.image.resize(tf.cast(picture, tf.float32), [SIZE, SIZE], "bilinear", antialias=True)
    return tf.image.random_flip_left_right(picture) / 127.5 - 1, f["image/class/label"]


shards = sorted(glob.glob(DATA + "/train-*.tfrecord"))
records = tf.data.TFRecordDataset(shards).take(PICTURES).cache()
pictures = records.map(load, num_parallel_calls=THREADS).batch(32).prefetch(2)
options = tf.data.Options()
options.threading.private_threadpool_size = THREADS
pictures = pictures.with_options(options)
for _ in pictures:
    pass
count, start = 0, time.monotonic()
while time.monotonic() - start < SECONDS:
    for _, labels in pictures:
        count += int(labels.shape[0])
print(f"median {count / (time.monotonic() - start):.1f} img/s")
