/* events.h: TensorBoard's event files, written record by record as training goes.
 *
 * A file is a row of TFRecords (data/tfrecord.h), each a tensorflow.Event
 * (TensorFlow, core/util/event.proto). The first says "brain.Event:2", the
 * second is a SessionLog START, the others hold one scalar each, byte for byte
 * as TensorFlow 2's tf.summary.scalar writes it. */
#ifndef MQ_EVENTS_H
#define MQ_EVENTS_H

#include "base/status.h"

/* Tags that begin so count epochs in their step, from 0, as Keras' do; all others count optimizer steps. */
#define MQ_EVENTS_EPOCH "epoch_"

typedef struct mq_events mq_events;

/* Seconds since 1970. */
typedef double (*mq_wall_clock)(void);

/* Begins a new file in folder, which is made when it is missing; *events is the caller's. A reader that
 * follows the folder drops what it has from first_step on, except after the folder's first file. clock NULL:
 * the system's. A file that cannot be begun leaves nothing behind. */
MQ_MUST_USE mq_status mq_events_open(mq_err *err, const char *folder, uint64_t first_step,
                                     mq_wall_clock clock, mq_events **events);

/* Adds a scalar to what the next flush writes. Its time is never before that of the one before. */
MQ_MUST_USE mq_status mq_events_scalar(mq_err *err, mq_events *events, const char *tag, uint64_t step,
                                       double value);

/* Writes what was added. When that fails the file ends with the whole records it had, and what was added is
 * lost; the next flush may work again. */
MQ_MUST_USE mq_status mq_events_flush(mq_err *err, mq_events *events);

/* Closes, without a flush, and sets NULL; NULL is fine. */
void mq_events_free(mq_events **events);

/* Cuts the folder's event files before the first record that lies behind `steps` optimizer steps and `epochs`
 * whole epochs: what a run that goes on from there trains and writes again. A torn end goes too. A file that
 * does not begin with a sound record is not ours and stays. No folder is fine. */
MQ_MUST_USE mq_status mq_events_cut(mq_err *err, const char *folder, uint64_t steps, uint64_t epochs);

#endif
