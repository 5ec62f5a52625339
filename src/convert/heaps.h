/* heaps.h: makes the part of HDF5 files harmless in which HDF5 itself checks nothing. */
#ifndef MQ_CONVERT_HEAPS_H
#define MQ_CONVERT_HEAPS_H

#include "base/status.h"

/* Checks all global heaps in the image of a file, and empties in it what is too large to be a name. what
 * names the file in messages. */
MQ_MUST_USE mq_status mq_guard_heaps(mq_err *err, const char *what, uint8_t *image, size_t size);

#endif
