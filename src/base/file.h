/* file.h: files read whole, written atomically, folders made and locked. */
#ifndef MQ_FILE_H
#define MQ_FILE_H

#include "base/buf.h"

#include <stdio.h>

/* Appends the whole of a regular file to buf; larger than buf's limit: MQ_BAD_DATA. Never blocks on a FIFO.
 */
MQ_MUST_USE mq_status mq_file_read(mq_err *err, const char *path, mq_buf *buf);

/* Appends all that stands on standard input; MQ_INTERRUPTED once stop, asked meanwhile, says so (NULL:
 * never). */
MQ_MUST_USE mq_status mq_stdin_read(mq_err *err, mq_buf *buf, bool (*stop)(void *user), void *user);

/* Reads size bytes at offset of an open file, whole or not at all; path only for messages. Any thread. */
MQ_MUST_USE mq_status mq_file_pread(mq_err *err, int fd, const char *path, void *data, size_t size,
                                    uint64_t offset);

/* Replaces path by data: temporary file beside it, fsync, rename, fsync of the folder. */
MQ_MUST_USE mq_status mq_file_write(mq_err *err, const char *path, const void *data, size_t size);

/* The same for the file folder/name. */
MQ_MUST_USE mq_status mq_file_write_in(mq_err *err, const char *folder, const char *name, const void *data,
                                       size_t size);

/* The same in pieces. *writer is the caller's until commit or abort; either sets NULL. */
typedef struct mq_writer mq_writer;
MQ_MUST_USE mq_status mq_writer_open(mq_err *err, const char *path, mq_writer **writer);
MQ_MUST_USE mq_status mq_writer_add(mq_err *err, mq_writer *writer, const void *data, size_t size);
MQ_MUST_USE mq_status mq_writer_commit(mq_err *err, mq_writer **writer);
void mq_writer_abort(mq_writer **writer); /* removes the temporary file; NULL is fine */

/* Removes the temporary files that killed processes left in folder. Only for folders whose lock is held: a
 * writer of another process would lose its file. */
void mq_remove_temporaries(const char *folder);

/* Makes a folder and the missing ones above it; one that exists is fine. */
MQ_MUST_USE mq_status mq_make_folder(mq_err *err, const char *path);

/* Removes a folder and all below it, without following links. */
MQ_MUST_USE mq_status mq_remove_folder(mq_err *err, const char *path);

bool mq_file_exists(const char *path);
bool mq_folder_exists(const char *path);

/* Whether both paths lead to one file, whatever links and other names lie between. */
bool mq_same_file(const char *one, const char *other);

/* Bytes free for us on the file system of path; UINT64_MAX when unknown. */
uint64_t mq_disk_free(const char *path);

/* Whether what path unpacks to may grow to bytes: to no more than most (MQ_BAD_DATA: a bomb) and room, half
 * of the disk's free bytes (MQ_IO). */
MQ_MUST_USE mq_status mq_unpacked_check(mq_err *err, const char *path, uint64_t bytes, uint64_t most,
                                        uint64_t room);

/* folder/name in *path; the caller's, for free(). */
MQ_MUST_USE mq_status mq_path_join(mq_err *err, const char *folder, const char *name, char **path);

/* The last component of path without a ".mq" behind it: where it begins within path, and its length. */
const char *mq_path_stem(const char *path, size_t *length);

/* Takes doubled slashes and "." out of a path; of an absolute one ".." too, with the folder before it:
 * folders go by their names alone, as a user reads them. */
void mq_path_tidy(char *path);

/* The cache folder: $XDG_CACHE_HOME/marque, else ~/.cache/marque (XDG basedir 0.8: relative values are
 * ignored). */
MQ_MUST_USE mq_status mq_cache_folder(mq_err *err, char **path);

/* Holds an exclusive lock on FOLDER/.lock with our pid in it; in use elsewhere: MQ_CANNOT_CREATE, naming the
 * pid. */
typedef struct mq_lock mq_lock;
MQ_MUST_USE mq_status mq_lock_folder(mq_err *err, const char *folder, mq_lock **lock);

/* The same; *busy says whether it is another process that keeps it from us. */
MQ_MUST_USE mq_status mq_lock_try(mq_err *err, const char *folder, bool *busy, mq_lock **lock);

/* The same, but waits for another process to be done, telling so once (log.h); stop says yes: MQ_INTERRUPTED.
 */
MQ_MUST_USE mq_status mq_lock_wait(mq_err *err, const char *folder, bool (*stop)(void *user), void *user,
                                   mq_lock **lock);
void mq_lock_free(mq_lock **lock);

#endif
