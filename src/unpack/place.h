/* place.h: where a member of an archive may go: below one folder, under a name of plain parts. */
#ifndef MQ_PLACE_H
#define MQ_PLACE_H

#include "base/status.h"

enum { MQ_PLACE_DEPTH = 32, MQ_PLACE_PART = 255, MQ_PLACE_NAME = 1024 };

/* Makes name plain: parts between single slashes, neither "." nor empty ones, in plain (MQ_PLACE_NAME
 * bytes). *litter: hidden, or what file managers leave behind, which nobody wants. Absolute, climbing (".."),
 * too deep, too long: MQ_BAD_DATA. archive is for messages. */
MQ_MUST_USE mq_status mq_place_name(mq_err *err, const char *archive, const char *name, char *plain,
                                    bool *litter);

/* Makes the folder name, and those above it, below folder; one that exists is fine. *made grows with each new
 * one. name here and below: as mq_place_name made it. */
MQ_MUST_USE mq_status mq_place_folder(mq_err *err, const char *archive, int folder, const char *name,
                                      size_t *made);

/* Makes the file name, and the folders above it, below folder. *fd is the caller's, open for writing. *made
 * grows with each new folder, and the file. A name that is there already, or has a file above it:
 * MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_place_file(mq_err *err, const char *archive, int folder, const char *name, int *fd,
                                    size_t *made);

#endif
