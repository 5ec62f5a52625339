/* scan_json.h: a scan for programs: schema marque.scan.v1 (docs/FORMATS.md). */
#ifndef MQ_SCAN_JSON_H
#define MQ_SCAN_JSON_H

#include "base/json_stream.h"
#include "curate/scan.h"

/* Writes the whole report into sink, piece by piece: a list names every picture that is flagged. */
MQ_MUST_USE mq_status mq_scan_to_json(mq_err *err, const mq_scan *scan, mq_json_sink sink, void *user);

#endif
