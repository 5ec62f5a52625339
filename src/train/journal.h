/* journal.h: a run's log.jsonl: what happened when, one JSON object a line, never rewritten. docs/FORMATS.md
 * lists the events. */
#ifndef MQ_JOURNAL_H
#define MQ_JOURNAL_H

#include "base/json.h"

typedef struct mq_journal mq_journal;

/* Opens the log at path to go on with it; *journal is the caller's. A line that a crash has torn is cut off;
 * a whole last line that lacks its newline gets one. */
MQ_MUST_USE mq_status mq_journal_open(mq_err *err, const char *path, mq_journal **journal);

/* Appends {"time": now in UTC, "event": event, members...} and hands it to the system. members is an object,
 * taken over even on failure; NULL: none. When it fails the log ends with the whole lines it had. */
MQ_MUST_USE mq_status mq_journal_add(mq_err *err, mq_journal *journal, const char *event, mq_json *members);

/* Closes and sets NULL; NULL is fine. */
void mq_journal_free(mq_journal **journal);

#endif
