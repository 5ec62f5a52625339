/* import_cars.c: Stanford Cars as published, official (cars_train_annos.mat,
 * cars_meta.mat, and for the test part cars_test_annos_withlabels.mat) or pooled
 * (cars_annos.mat, which holds class_names).
 * Called by import.c through its row. Owns the MATLAB files while it reads.
 * Invariant: nothing a row says is used before its range was checked. */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"
#include "data/mat.h"

#include <string.h>

enum { CLASSES_MAX = 1 << 20, SIDE_LIMIT = 1 << 30 };

/* Where annotations lie below the source. */
static const char *const PLACES[] = {"cars_train_annos.mat", "devkit/cars_train_annos.mat",
                                     "car_devkit/devkit/cars_train_annos.mat", "cars_annos.mat",
                                     "devkit/cars_annos.mat"};
static const char TEST_LABELS[] = "cars_test_annos_withlabels.mat";

/* Where pictures lie below the source, of the training part or all, and of the test part. The doubled folders
 * are what some archives of the set unpack to. */
static const char *const TRAIN_FOLDERS[] = {"cars_train", "cars_train/cars_train", "", NULL};
static const char *const TEST_FOLDERS[] = {"cars_test", "cars_test/cars_test", NULL};

/* One file of annotations and where its pictures lie. */
typedef struct {
    const char *path; /* owned by the caller, as is mat */
    const mq_mat *mat;
    const char *const *folders;
    mq_split split; /* of all its rows; MQ_SPLITS: as they say */
} car_file;

/* What one row says. */
typedef struct {
    double x1, y1, x2, y2, class, test;
    bool has_test;
    const char *file; /* borrowed */
    size_t row;       /* from 1 */
} annotation;

/* The path of the annotations; NULL in *path when there are none. */
static mq_status find_annotations(mq_err *err, const mq_import_job *job, char **path) {
    mq_status status = MQ_OK;
    if (job->plan->annotations) return mq_strdup(err, job->plan->annotations, path);
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        MQ_TRY(mq_path_join(err, job->root, PLACES[i], path));
        if (mq_file_exists(*path)) return MQ_OK;
        free(*path);
        *path = NULL;
    }
cleanup:
    return status;
}

/* The annotations alone make it Stanford Cars: pictures may be missing. */
static bool probe(const mq_import_job *job) {
    mq_err ignored = {0};
    char *path = NULL;
    const bool json = job->plan->annotations && mq_text_ends_alike(job->plan->annotations, ".json");
    const bool found = !job->list && !json && find_annotations(&ignored, job, &path) == MQ_OK && path;
    free(path);
    return found;
}

/* cars_meta.mat beside the annotations, unless the plan names another. */
static mq_status find_meta(mq_err *err, const mq_import_job *job, const char *annotations, char **path) {
    if (job->plan->meta) return mq_strdup(err, job->plan->meta, path);
    const char *slash = strrchr(annotations, '/');
    return mq_format(err, path, "%.*scars_meta.mat", slash ? (int)(slash - annotations + 1) : 0, annotations);
}

/* class_names, from the annotations themselves (pooled) or cars_meta.mat; an update must find the same. */
static mq_status read_classes(mq_err *err, mq_import_job *job, const char *path, const mq_mat *mat) {
    mq_status status = MQ_OK;
    const mq_mat_value *names = mq_mat_get(mat, "class_names");
    const size_t count = names && mq_mat_kind_of(names) == MQ_MAT_CELL ? mq_mat_count(names) : 0;
    MQ_REQUIRE(count && count <= CLASSES_MAX, err, MQ_BAD_DATA,
               "%s: no list of texts called class_names; name the file that has it with --meta", path);
    MQ_REQUIRE(job->manifest.class_count == 0 || job->manifest.class_count == count, err, MQ_BAD_DATA,
               "%s: %zu classes where the data set to update has %zu; import anew", path, count,
               job->manifest.class_count);
    for (size_t i = 0; i < count; i++) {
        uint32_t class = 0;
        const char *name = mq_mat_text(mq_mat_cell(names, i));
        MQ_REQUIRE(name && name[0], err, MQ_BAD_DATA, "%s: class %zu has no name", path, i + 1);
        if (i < job->first_classes)
            MQ_REQUIRE(strcmp(job->manifest.classes[i], name) == 0, err, MQ_BAD_DATA,
                       "%s: class %zu is not the one the data set to update has; import anew", path, i + 1);
        else
            MQ_TRY(mq_manifest_add_class(err, &job->manifest, name, &class));
    }
    MQ_TRY(mq_manifest_check_classes(err, &job->manifest));
cleanup:
    return status;
}

/* A whole number of sensible size; MATLAB stores them as doubles. */
static bool whole(const mq_mat_value *list, size_t row, const char *field, double *value) {
    return mq_mat_number(mq_mat_field(list, row, field), 0, value) && *value >= -SIDE_LIMIT &&
           *value <= SIDE_LIMIT && *value == (double)(long)*value;
}

/* Both forms have one of fname and relative_im_path; the official test part comes without class. */
static mq_status read_row(mq_err *err, const char *path, const mq_mat_value *list, size_t row, size_t classes,
                          annotation *a) {
    mq_status status = MQ_OK;
    a->file = mq_mat_text(mq_mat_field(list, row, "fname"));
    if (!a->file) a->file = mq_mat_text(mq_mat_field(list, row, "relative_im_path"));
    MQ_REQUIRE(a->file && a->file[0], err, MQ_BAD_DATA, "%s: row %zu has no fname or relative_im_path", path,
               row + 1);
    MQ_REQUIRE(mq_mat_field(list, row, "class"), err, MQ_BAD_DATA,
               "%s: its rows have no class; take the annotations of the training part or those with labels",
               path);
    MQ_REQUIRE(whole(list, row, "class", &a->class) && a->class >= 1 && a->class <= (double)classes, err,
               MQ_BAD_DATA, "%s: row %zu has a class that is not 1 to %zu", path, row + 1, classes);
    MQ_REQUIRE(whole(list, row, "bbox_x1", &a->x1) && whole(list, row, "bbox_y1", &a->y1) &&
                   whole(list, row, "bbox_x2", &a->x2) && whole(list, row, "bbox_y2", &a->y2),
               err, MQ_BAD_DATA, "%s: row %zu has a box that is not four whole numbers", path, row + 1);
    a->has_test = mq_mat_field(list, row, "test") != NULL;
    MQ_REQUIRE(!a->has_test || whole(list, row, "test", &a->test), err, MQ_BAD_DATA,
               "%s: row %zu has a test field that is no number", path, row + 1);
cleanup:
    return status;
}

/* The name below the source under which a row's picture lies; NULL when it lies nowhere. In the pooled form a
 * row names a folder, which a copy may lack. */
static mq_status find_picture(mq_err *err, const mq_import_job *job, const car_file *f, const char *file,
                              char **name) {
    static const char *const top[] = {"", NULL};
    const char *slash = strrchr(file, '/');
    const mq_status status = mq_import_find_file(err, job, f->folders, file, name);
    if (status != MQ_OK || *name || !slash) return status;
    return mq_import_find_file(err, job, top, slash + 1, name);
}

/* The picture of a row, placed where the row says. */
static mq_status take_row(mq_err *err, mq_import_job *job, const car_file *f, const annotation *a,
                          mq_wrong_rows *missing, mq_wrong_rows *inverted) {
    mq_status status = MQ_OK;
    char *name = NULL;
    MQ_TRY(find_picture(err, job, f, a->file, &name));
    if (!name) {
        MQ_TRY(mq_wrong_row(err, missing, a->row, a->file));
        goto cleanup;
    }
    if (a->has_test) job->manifest.sets_split[MQ_TEST] = true;
    const mq_object o = {.file = name,
                         .alone = true,
                         .class = (uint32_t)a->class - 1,
                         .split = a->has_test && a->test != 0 ? MQ_TEST : f->split,
                         .row = a->row,
                         .has_box = true,
                         .box = {a->x1, a->y1, a->x2, a->y2}};
    MQ_TRY(mq_import_add_object(err, job, &o, inverted, NULL));
cleanup:
    free(name);
    return status;
}

/* All rows are read before any is complained of, so that the counts are whole. */
static mq_status read_rows(mq_err *err, mq_import_job *job, const car_file *f) {
    mq_status status = MQ_OK;
    const char *path = f->path;
    mq_wrong_rows missing = {.unit = "row", .shown = mq_buf_init(MQ_WRONG_SHOWN)}, inverted = missing;
    const mq_mat_value *list = mq_mat_get(f->mat, "annotations");
    MQ_REQUIRE(list && mq_mat_kind_of(list) == MQ_MAT_STRUCT && mq_mat_count(list), err, MQ_BAD_DATA,
               "%s: no list of structs called annotations", path);
    for (size_t i = 0; i < mq_mat_count(list); i++) {
        annotation a = {.row = i + 1};
        MQ_TRY(mq_import_go_on(err, job));
        MQ_TRY(read_row(err, path, list, i, job->manifest.class_count, &a));
        MQ_REQUIRE(mq_import_is_inside(a.file), err, MQ_BAD_DATA,
                   "%s: row %zu names a picture outside the source", path, i + 1);
        MQ_TRY(take_row(err, job, f, &a, &missing, &inverted));
    }
    MQ_TRY(mq_import_judge_rows(err, job, path, mq_mat_count(list), &missing, &inverted));
cleanup:
    mq_buf_free(&missing.shown);
    mq_buf_free(&inverted.shown);
    return status;
}

/* The labels of the official test part, which are published apart from it; beside the others. */
static mq_status read_test(mq_err *err, mq_import_job *job, const char *annotations) {
    mq_status status = MQ_OK;
    const char *slash = strrchr(annotations, '/');
    char *path = NULL, *folder = NULL, hex[MQ_HEX_SIZE];
    mq_mat *mat = NULL;
    MQ_TRY(mq_path_join(err, job->root, TEST_FOLDERS[0], &folder));
    if (!mq_folder_exists(folder)) goto cleanup;
    MQ_TRY(mq_format(err, &path, "%.*s%s", slash ? (int)(slash - annotations + 1) : 0, annotations,
                     TEST_LABELS));
    if (!mq_file_exists(path)) {
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, job->root, TEST_LABELS, &path));
    }
    if (!mq_file_exists(path)) {
        mq_note("%s: %s is not there, so the pictures in cars_test have no labels and are not taken",
                job->plan->source, TEST_LABELS);
        goto cleanup;
    }
    MQ_TRY(mq_mat_open(err, path, &mat));
    MQ_TRY(mq_digest_file(err, MQ_SHA256, path, hex));
    MQ_TRY(mq_import_digest_more(err, job, hex));
    job->manifest.sets_split[MQ_TEST] = true;
    MQ_TRY(read_rows(err, job, &(car_file){path, mat, TEST_FOLDERS, MQ_TEST}));
cleanup:
    mq_mat_free(&mat);
    free(folder);
    free(path);
    return status;
}

static mq_status read_cars(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    char *path = NULL, *meta_path = NULL;
    mq_mat *mat = NULL, *meta = NULL;
    MQ_TRY(find_annotations(err, job, &path));
    MQ_TRY(mq_mat_open(err, path, &mat));
    MQ_TRY(mq_digest_file(err, MQ_SHA256, path, job->annotations));
    if (mq_mat_get(mat, "class_names") && !job->plan->meta) {
        MQ_TRY(read_classes(err, job, path, mat));
    } else {
        MQ_TRY(find_meta(err, job, path, &meta_path));
        MQ_TRY(mq_mat_open(err, meta_path, &meta));
        MQ_TRY(read_classes(err, job, meta_path, meta));
    }
    job->first_classes = job->manifest.class_count; /* the numbers are the publisher's: none is dropped */
    MQ_TRY(read_rows(err, job, &(car_file){path, mat, TRAIN_FOLDERS, MQ_SPLITS}));
    if (!job->plan->annotations && mq_text_ends(path, "cars_train_annos.mat"))
        MQ_TRY(read_test(err, job, path));
    mq_manifest_sort(&job->manifest);
    MQ_TRY(mq_import_check_twice(err, job, path));
    job->report->class_rule = "class = annotation";
cleanup:
    mq_mat_free(&mat);
    mq_mat_free(&meta);
    free(path);
    free(meta_path);
    return status;
}

const mq_import_source mq_import_cars = {"stanford-cars", "row", probe, read_cars, true};
