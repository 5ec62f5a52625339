/* manifest.h: the list of pictures an importer works on, and its classes. */
#ifndef MQ_MANIFEST_H
#define MQ_MANIFEST_H

#include "base/digest.h"
#include "data/dataset.h"
#include "data/phash.h"

/* One picture. Its readers fill the first part, checking the second. */
typedef struct {
    char *name;       /* its own in the list: the path below the source, with "#" and a number behind it where
                         a picture has several boxes; any bytes; owned */
    const char *file; /* path below the source of the file that holds its bytes; NULL: name; the manifest's */
    uint64_t offset;  /* where in that file they begin */
    size_t length;    /* how many they are; 0: all of the file */
    uint32_t class;   /* index of its class */
    mq_split split;   /* MQ_SPLITS: not placed yet */
    uint32_t fold;    /* of a training picture, from 1; 0: not placed yet, or there are no folds */
    bool kept;        /* its split is that of an earlier import, not the source's */
    bool known;       /* an earlier import placed it where it is, be it by the source's word */
    bool has_box;
    bool animated;                      /* there are more pictures in its file */
    bool truncated;                     /* it is cut short, and stored is what is left of it, as PNG */
    mq_box box;                         /* as annotated, pixels of the picture as stored */
    uint32_t drawn_width, drawn_height; /* of the picture its box was drawn on, as annotated; 0: unknown */
    size_t row;                         /* its row in the annotations, from 1; 0: none */
    char *group; /* it stays with all others of this group in one split; NULL: none; owned */

    char *reason;                   /* why it is left out; NULL: it is not; owned */
    uint8_t digest[MQ_SHA256_SIZE]; /* of its bytes */
    uint8_t key[MQ_SHA256_SIZE];    /* digest of (seed, content): its place in every order that is drawn */
    mq_phash look;                  /* of the whole picture; all 0: it shows nothing */
    uint32_t width, height;
    int orientation;             /* EXIF */
    const char *format, *colour; /* static */
    const char *becomes;         /* "png" or "jpeg", stored in place of its own format; NULL: that; static */
    size_t size;                 /* bytes as they will be stored */
} mq_entry;

typedef struct {
    mq_entry *entries; /* owned, as is what follows */
    size_t count, capacity;
    char **classes;
    size_t class_count, class_capacity;
    uint32_t *slots; /* class numbers + 1 by the hash of their names, 0: free; NULL: to be made anew */
    size_t slot_count;
    char **files; /* that hold several pictures, or several boxes of one */
    size_t file_count, file_capacity;
    bool sets_split[MQ_SPLITS]; /* the source itself says which pictures belong to it */
} mq_manifest;

/* The file that holds the picture's bytes, below the source; borrowed. */
const char *mq_entry_file(const mq_entry *entry);

/* Whether two entries are boxes of one picture: the same bytes in the same place. */
bool mq_entry_same_picture(const mq_entry *a, const mq_entry *b);

/* Finds a class by name; *found false: there is none. */
MQ_MUST_USE mq_status mq_manifest_find_class(mq_err *err, mq_manifest *manifest, const char *name,
                                             uint32_t *index, bool *found);

/* Appends a class, without a look whether there is one of that name; *index is its number. */
MQ_MUST_USE mq_status mq_manifest_add_class(mq_err *err, mq_manifest *manifest, const char *name,
                                            uint32_t *index);

/* Appends a picture of name (copied) in a class, not placed, without box; *entry is borrowed until the next
 * call. */
MQ_MUST_USE mq_status mq_manifest_add(mq_err *err, mq_manifest *manifest, const char *name, uint32_t class,
                                      mq_entry **entry);

/* path in *file for entries, which share it where one is added after another; the manifest's. */
MQ_MUST_USE mq_status mq_manifest_file(mq_err *err, mq_manifest *manifest, const char *path,
                                       const char **file);

/* Leaves a picture out, with printf's words for a reason; the first reason stays. */
MQ_MUST_USE mq_status mq_manifest_leave_out(mq_err *err, mq_entry *entry, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Two classes of one name: MQ_BAD_DATA, naming it. */
MQ_MUST_USE mq_status mq_manifest_check_classes(mq_err *err, const mq_manifest *manifest);

/* Two classes whose names people would read as one, for they differ in case or Unicode form alone:
 * MQ_BAD_DATA, beginning with what and naming both. Asked are the first keep and those with a picture. */
MQ_MUST_USE mq_status mq_manifest_check_alike(mq_err *err, const mq_manifest *manifest, const char *what,
                                              size_t keep);

/* Drops the classes without a picture that is taken, except the first keep, and renumbers the others;
 * *dropped counts them. */
MQ_MUST_USE mq_status mq_manifest_drop_classes(mq_err *err, mq_manifest *manifest, size_t keep,
                                               size_t *dropped);

/* Sorts the classes by the bytes of their names, except the first keep, and renumbers those of the pictures.
 */
MQ_MUST_USE mq_status mq_manifest_sort_classes(mq_err *err, mq_manifest *manifest, size_t keep);

/* Sorts the pictures by the bytes of their names. */
void mq_manifest_sort(mq_manifest *manifest);

void mq_manifest_free(mq_manifest *manifest);

#endif
