/* scan_json.h: a scan for programs: schema marque.scan.v1 (docs/FORMATS.md). */
#ifndef MQ_SCAN_JSON_H
#define MQ_SCAN_JSON_H

#include "base/json.h"
#include "curate/scan.h"

/* Builds the whole report; *json is the caller's. */
MQ_MUST_USE mq_status mq_scan_to_json(mq_err *err, const mq_scan *scan, mq_json **json);

#endif
