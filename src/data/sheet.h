/* sheet.h: pictures as a network sees them, side by side in one picture for people. */
#ifndef MQ_SHEET_H
#define MQ_SHEET_H

#include "data/loader.h"

/* Checks that path ends in .jpg, .jpeg or .png; others are MQ_USAGE. */
MQ_MUST_USE mq_status mq_sheet_check(mq_err *err, const char *path);

/* Writes the first batch of plan as a grid of up to 8 columns to path, JPEG or PNG by its ending, replacing
 * it at once. */
MQ_MUST_USE mq_status mq_sheet_write(mq_err *err, const mq_loader_plan *plan, const char *path);

#endif
