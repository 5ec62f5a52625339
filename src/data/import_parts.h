/* import_parts.h: what the parts of the importer share; nobody else includes it. */
#ifndef MQ_IMPORT_PARTS_H
#define MQ_IMPORT_PARTS_H

#include "base/csv.h"
#include "base/file.h"
#include "data/exchange.h"
#include "data/import.h"
#include "data/manifest.h"

#include <sys/stat.h>

/* An import under way. */
typedef struct {
    const mq_import_plan *plan; /* borrowed */
    mq_import_report *report;   /* borrowed */
    char *root;                 /* real path of the folder that names of pictures begin at; owned */
    char *given; /* the root as the user spelled it, absolute, where that is another path; else NULL; owned */
    char *list;  /* real path of the source where it is a file; else NULL; owned */
    struct stat output;        /* of the output folder, so that it is not read; st_ino 0: there is none */
    const char *kind;          /* of the source, for dataset.json; static */
    const char *unit;          /* what its entries' rows count, "line"; static */
    char *unpacked;            /* where an archive's source lies now; NULL: it is no archive; owned */
    char *inflated;            /* where record files lie that came compressed as a whole; NULL: none; owned */
    mq_exchange *exchange;     /* NULL: a dry run that has needed no scratch yet; owned */
    char archive[MQ_HEX_SIZE]; /* SHA-256 of the archive; "": none */
    char annotations[MQ_HEX_SIZE]; /* SHA-256 of the annotations read; "": none */
    size_t first_classes;          /* classes that an earlier import fixed */
    size_t dropped_classes;        /* others, which have no picture */
    mq_manifest manifest;
} mq_import_job;

/* A kind of source. A new one is a file import_*.c and a row in import.c; the first whose probe says true
 * reads. */
typedef struct {
    const char *kind; /* static */
    const char *unit; /* what the rows of its entries count, "line"; static */
    bool (*probe)(const mq_import_job *job);
    mq_status (*read)(mq_err *err, mq_import_job *job);
    bool names_files; /* it lists pictures that lie about: others may lie among them */
} mq_import_source;

extern const mq_import_source mq_import_list, mq_import_cars, mq_import_coco, mq_import_csv, mq_import_folder,
    mq_import_tfrecord, mq_import_voc;

/* Whether a file is a zip or tar, by its name or its first bytes. */
bool mq_import_is_archive(const char *path);

/* Unpacks the plan's source, an archive, into folder, which is there and empty; the caller removes it, also
 * after a failure. job->unpacked is then what to read in its place. */
MQ_MUST_USE mq_status mq_import_unpack(mq_err *err, mq_import_job *job, const char *folder);

/* The folder for what is needed only while the import lasts, made if need be; borrowed. */
MQ_MUST_USE mq_status mq_import_scratch(mq_err *err, mq_import_job *job, const char **folder);

/* The number of the class called name, appended when it is new. */
MQ_MUST_USE mq_status mq_import_class_of(mq_err *err, mq_import_job *job, const char *name, uint32_t *class);

/* Rows of annotations that are wrong in one way: how many, and the first of them in words. */
typedef struct {
    const char *unit; /* what their numbers count: "row", "line"; static */
    size_t count;
    mq_buf shown; /* begins as mq_buf_init(MQ_WRONG_SHOWN) */
} mq_wrong_rows;
enum { MQ_WRONG_SHOWN = 1024 };

/* Notes one; number 0: it has none, and its file alone is shown. */
MQ_MUST_USE mq_status mq_wrong_row(mq_err *err, mq_wrong_rows *rows, size_t number, const char *file);

/* What stands behind those that are shown: dots where there are more. Static. */
const char *mq_wrong_more(const mq_wrong_rows *rows);

/* What was wrong with `all` rows of the file path: boxes without area are an error, so are missing pictures
 * unless the plan allows them; the report gets their number added. */
MQ_MUST_USE mq_status mq_import_judge_rows(mq_err *err, const mq_import_job *job, const char *path,
                                           size_t all, const mq_wrong_rows *missing,
                                           const mq_wrong_rows *inverted);

/* Whether a table has the columns of a list of pictures; and its rows, read as those of a list file are. */
bool mq_import_is_csv(const mq_csv *csv);
MQ_MUST_USE mq_status mq_import_take_csv(mq_err *err, mq_import_job *job, mq_csv *csv);

/* Two rows about one picture of a sorted manifest, which would put it into the data set twice, perhaps as two
 * classes: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_import_check_twice(mq_err *err, const mq_import_job *job, const char *path);

/* The name of a picture as a list spells its path, relative or below the root: *name, borrowed from *tidy,
 * which is the caller's; still absolute where it lies elsewhere. */
MQ_MUST_USE mq_status mq_import_spelled(mq_err *err, const mq_import_job *job, const char *text, char **tidy,
                                        const char **name);

/* Whether a path stays below the source. */
bool mq_import_is_inside(const char *file);

/* Whether the plan follows the link path, and what it leads to: *st, and whether that is inside the source.
 * NULL: it does; else why not, static. */
const char *mq_import_follow(const mq_import_job *job, const char *path, struct stat *st, bool *inside);

/* Leaves an entry out whose file the plan does not reach, for a link lies on the way. */
MQ_MUST_USE mq_status mq_import_judge_link(mq_err *err, const mq_import_job *job, mq_entry *entry);

/* An object that annotations tell of; borrowed while it is added. */
typedef struct {
    const char *file;   /* name of its picture, and the path of it below the source, unless holder is that */
    const char *holder; /* path below the source of the file that holds the picture's bytes; NULL: file */
    uint64_t offset;    /* where in it they are; as in an mq_entry */
    size_t length;
    uint64_t number; /* its own among the objects of that picture */
    bool alone;      /* there are no others: no number in its name */
    uint32_t class;
    mq_split split; /* MQ_SPLITS: none */
    size_t row;
    bool has_box;  /* else it is the picture */
    double box[4]; /* x1, y1, x2, y2: edges in pixels, 0 being the left or upper one of the picture */
    uint32_t width, height; /* of the picture, as the annotations say; 0: they do not */
} mq_object;

/* Why a box that holds no pixel is left out. */
#define MQ_NO_PIXEL "a box of less than a pixel"

/* A side of a picture as annotations tell it; 0 where it is no side. */
uint32_t mq_import_side(double pixels);

/* Adds an object: with boxes as FILE#NUMBER, cut by its box; without as FILE. A box whose edges have changed
 * places goes to inverted (NULL: nobody asks), one without a pixel is left out. *entry, where it is not NULL,
 * is borrowed until the next call. */
MQ_MUST_USE mq_status mq_import_add_object(mq_err *err, mq_import_job *job, const mq_object *object,
                                           mq_wrong_rows *inverted, mq_entry **entry);

/* Sorts the manifest. Objects without box of one picture become one entry, left out when their classes
 * or parts differ; two of one name are MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_import_end_objects(mq_err *err, mq_import_job *job);

/* The first of FOLDER/file that there is below the source, *name the caller's; NULL: none. folders ends with
 * NULL; "" is the source itself. */
MQ_MUST_USE mq_status mq_import_find_file(mq_err *err, const mq_import_job *job, const char *const *folders,
                                          const char *file, char **name);

/* Whether the name of a file of annotations or pictures has a word train, val (valid, validation) or test in
 * it, perhaps with a year: instances_train2017.json. Of several the last counts. */
bool mq_import_split_in(const char *name, mq_split *split);

/* Takes the digest of another file of annotations into the job's. */
MQ_MUST_USE mq_status mq_import_digest_more(mq_err *err, mq_import_job *job, const char *hex);

/* train, val (valid, validation) or test; else MQ_BAD_DATA, naming path and line. */
MQ_MUST_USE mq_status mq_import_split_of(mq_err *err, const char *path, size_t line, const char *text,
                                         mq_split *split);

/* --split-file: places what it names; a row without picture is MQ_BAD_DATA, for it would be silently lost. */
MQ_MUST_USE mq_status mq_import_split_file(mq_err *err, mq_import_job *job);

/* --update: pictures that the data set has stay where they are, unless the source itself moves them. Tells of
 * those that moved or are gone, and counts them for the report. */
MQ_MUST_USE mq_status mq_import_keep_splits(mq_err *err, mq_import_job *job);

/* MQ_INTERRUPTED once the plan's stop says so. */
MQ_MUST_USE mq_status mq_import_go_on(mq_err *err, const mq_import_job *job);

/* The split that a folder called name (length bytes) stands for: train, val, valid, validation, test. */
bool mq_import_split_folder(const char *name, size_t length, mq_split *split);

/* With a class for each lowest folder two of one name in different places would silently become one class. */
MQ_MUST_USE mq_status mq_import_check_leaves(mq_err *err, const mq_import_job *job);

/* Reads the bytes of a picture, those of a file or of its part of one, into file. *path, of the
 * file they lie in, is the caller's. Any thread. */
MQ_MUST_USE mq_status mq_import_read(mq_err *err, const mq_import_job *job, const mq_entry *entry,
                                     mq_buf *file, char **path);

/* Decodes every picture once, in parallel, and fills in what the bytes say; what fails is left out. */
MQ_MUST_USE mq_status mq_import_check(mq_err *err, mq_import_job *job);

/* Leaves out what would have to be stored as a larger PNG than a record holds. */
MQ_MUST_USE mq_status mq_import_check_stored(mq_err *err, mq_import_job *job);

/* Whether the pictures listed so far are, by a sample, exactly as large as their boxes: already cut. */
MQ_MUST_USE mq_status mq_import_are_cut(mq_err *err, const mq_import_job *job, bool *cut);

/* Boxes against their pictures: those drawn on a picture that EXIF turns are turned back, and then every box
 * lies inside. */
MQ_MUST_USE mq_status mq_import_check_boxes(mq_err *err, mq_import_job *job);

/* What is stored of a picture beside its bytes. */
typedef struct {
    uint32_t width, height;
    int64_t channels;
    const char *format, *colour; /* static */
    bool has_box;
    mq_box box; /* pixels of the picture as it is stored */
} mq_stored;

/* Reads the bytes to store for a checked picture into file: its own, or those of a PNG cut and shrunk as the
 * plan says. A file that has changed since it was checked: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_import_load(mq_err *err, const mq_import_job *job, const mq_entry *entry,
                                     mq_buf *file, mq_stored *stored);

/* How many bytes these will be; for a PNG a guess. */
size_t mq_import_stored_bytes(const mq_import_job *job, const mq_entry *entry);

/* How names of pictures end, the last being NULL; some are written in capitals. */
extern const char *const mq_import_endings[];

/* Counts for the report the pictures that lie in the folders of the manifest's and that it does not name. */
MQ_MUST_USE mq_status mq_import_count_unlisted(mq_err *err, mq_import_job *job);

/* Counts for the report what was left out, by reason; then, of the placed pictures, all else. */
MQ_MUST_USE mq_status mq_import_count_reasons(mq_err *err, mq_import_job *job);
MQ_MUST_USE mq_status mq_import_count_pictures(mq_err *err, mq_import_job *job);

/* What mq_import_write would write, about. */
void mq_import_estimate(const mq_import_job *job, size_t *shards, uint64_t *bytes);

/* Writes shards, indexes and lists of pictures into folder, then dataset.json. */
MQ_MUST_USE mq_status mq_import_write(mq_err *err, mq_import_job *job, const char *folder);

#endif
