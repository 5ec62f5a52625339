/* records.h: what a run leaves behind while it trains, beside its models: TensorBoard's event files in
 * RUN/train and RUN/validation, and RUN/log.jsonl. docs/FORMATS.md lists tags and events.
 *
 * Records never end a run: when one cannot be written there is one warning for
 * the whole run, and the next is tried again. So none of these functions fails
 * but the first, and all take NULL. Call them from one thread. */
#ifndef MQ_RECORDS_H
#define MQ_RECORDS_H

#include "train/run.h"
#include "train/stages.h"

typedef struct mq_records mq_records;

/* Opens the log of the run, which is borrowed, and writes "start" unless it is resumed. Every summary_steps
 * steps are recorded, none with 0. Fails only without memory. *records is the caller's, for mq_records_close.
 */
MQ_MUST_USE mq_status mq_records_open(mq_err *err, const mq_run *run, bool resumed, uint64_t summary_steps,
                                      mq_records **records);

/* Says where training begins: after `steps` optimizer steps and `epochs` epochs of all stages, 0 in a new
 * run. What an interrupted run has recorded beyond is cut off from the event files, and "resume" is written.
 */
void mq_records_begin(mq_records *records, uint64_t steps, uint32_t epochs);

/* To be called after every step, counted from 1 over all stages: loss and top1 of the epoch so far. */
void mq_records_step(mq_records *records, uint64_t step, double loss, double top1, double lr, double img_s);

/* After every epoch; best: the best so far. */
void mq_records_epoch(mq_records *records, const mq_run_row *row, bool best);

/* A stage begins; it is borrowed until return. number counts from 1. */
void mq_records_stage(mq_records *records, uint32_t number, const mq_stage *stage);

/* A picture of the split is left out, for the reason why. */
void mq_records_skipped(mq_records *records, mq_split split, size_t index, const char *why);

/* Anything else for the log. members is an object, taken over; NULL: none. text may hold any bytes. */
void mq_records_event(mq_records *records, const char *event, mq_json *members);
void mq_records_warning(mq_records *records, const char *text);

/* Writes "end" when status is MQ_OK, else "stop" with the code and the sentence; nothing for a resume that
 * never began. Frees and sets NULL. */
void mq_records_close(mq_records **records, mq_status status, const mq_err *err);

#endif
