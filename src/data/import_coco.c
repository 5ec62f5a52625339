/* import_coco.c: pictures with boxes in COCO's form (cocodataset.org, "Data
 * format"): JSON with images, annotations and categories. Called by import.c
 * through its row. Owns the text of a file and its tables while it reads it.
 * Invariant: annotations are in memory as values one at a time, so that files of
 * hundreds of MB take little more than their size. */
#include "base/json_list.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <stdio.h>
#include <string.h>

enum { FILE_LIMIT = 1 << 30, MB = 1000000 };

typedef struct {
    long long id;
    char *file;             /* as the JSON names it; owned */
    char *name;             /* below the source; NULL: not looked for yet, or nowhere; owned */
    bool missing;           /* looked for, and nowhere */
    uint32_t width, height; /* 0: the JSON does not say */
} coco_image;

typedef struct {
    long long id;
    char *name; /* owned */
    uint32_t class;
} coco_category;

typedef struct {
    mq_import_job *job;
    const char *path; /* of the JSON, below the source; borrowed */
    char *folder;     /* it lies in, below the source; owned, as is what follows */
    char *stem;       /* train2017 of instances_train2017.json */
    char *plain;      /* images/train2017 */
    mq_buf text;
    mq_json_list list; /* the one being read */
    mq_split split;
    coco_image *images; /* sorted by id */
    size_t image_count, image_capacity;
    coco_category *categories; /* the same */
    size_t category_count, category_capacity;
    size_t rows;
    mq_wrong_rows *missing, *inverted; /* borrowed */
} coco_file;

/* Adds folder/name, or name in the source itself. */
static mq_status add_path(mq_err *err, mq_names *files, const char *folder, const char *name) {
    char *path = NULL;
    mq_status status = mq_format(err, &path, "%s%s%s", folder, *folder ? "/" : "", name);
    if (status == MQ_OK) status = mq_names_add(err, files, path);
    free(path);
    return status;
}

/* What COCO calls its own: instances_*.json in annotations/ or at the top, and what labelling services write:
 * _annotations.coco.json beside the pictures of each part. With all, any JSON. */
static mq_status find_in_folder(mq_err *err, const mq_import_job *job, const char *folder, bool all,
                                mq_names *files) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    MQ_TRY(mq_path_join(err, job->root, folder, &path));
    if (!mq_folder_exists(path)) goto cleanup;
    MQ_TRY(mq_names_in(err, path, &names));
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        const bool own = all || strncmp(name, "instances_", 10) == 0;
        if (!(own && mq_text_ends_alike(name, ".json")) && strcmp(name, "_annotations.coco.json") != 0)
            continue;
        MQ_TRY(add_path(err, files, folder, name));
    }
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

/* All files of annotations of a source that is a folder, in the order of their names. */
static mq_status find_files(mq_err *err, const mq_import_job *job, mq_names *list) {
    mq_status status = MQ_OK;
    static const char *const folders[] = {"annotations", "", "train", "valid", "val", "test"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        MQ_TRY(find_in_folder(err, job, folders[i], false, list));
    if (!list->count) MQ_TRY(find_in_folder(err, job, folders[0], true, list));
    mq_names_sort(list);
cleanup:
    return status;
}

static bool probe(const mq_import_job *job) {
    mq_err ignored = {0};
    mq_names list = {0};
    if (job->list) return mq_text_ends_alike(job->list, ".json");
    if (job->plan->annotations) return mq_text_ends_alike(job->plan->annotations, ".json");
    const bool found = find_files(&ignored, job, &list) == MQ_OK && list.count;
    mq_names_free(&list);
    return found;
}

static mq_status need_whole(mq_err *err, const coco_file *f, size_t index, const mq_json *element,
                            const char *key, long long *number) {
    if (mq_json_is_whole(mq_json_get(element, key), number)) return MQ_OK;
    return mq_fail(err, MQ_BAD_DATA, "%s: %s, element %zu: no whole number called %s", f->path, f->list.key,
                   index + 1, key);
}

static mq_status take_category(mq_err *err, void *user, size_t index, const mq_json *element) {
    mq_status status = MQ_OK;
    coco_file *f = user;
    const char *name = mq_json_string(mq_json_get(element, "name"));
    MQ_TRY(mq_grow(err, &f->categories, &f->category_capacity, f->category_count + 1, sizeof *f->categories));
    coco_category *c = &f->categories[f->category_count];
    MQ_TRY(need_whole(err, f, index, element, "id", &c->id));
    MQ_REQUIRE(name && *name, err, MQ_BAD_DATA, "%s: categories, element %zu: no name", f->path, index + 1);
    MQ_TRY(mq_strdup(err, name, &c->name));
    f->category_count++;
cleanup:
    return status;
}

static mq_status take_image(mq_err *err, void *user, size_t index, const mq_json *element) {
    mq_status status = MQ_OK;
    coco_file *f = user;
    const char *file = mq_json_string(mq_json_get(element, "file_name"));
    MQ_TRY(mq_grow(err, &f->images, &f->image_capacity, f->image_count + 1, sizeof *f->images));
    coco_image *image = &f->images[f->image_count];
    *image = (coco_image){0};
    MQ_TRY(need_whole(err, f, index, element, "id", &image->id));
    MQ_REQUIRE(file && *file, err, MQ_BAD_DATA, "%s: images, element %zu: no file_name", f->path, index + 1);
    image->width = mq_import_side(mq_json_real(mq_json_get(element, "width")));
    image->height = mq_import_side(mq_json_real(mq_json_get(element, "height")));
    MQ_REQUIRE(mq_import_is_inside(file), err, MQ_BAD_DATA,
               "%s: images, element %zu: names a picture outside the source", f->path, index + 1);
    MQ_TRY(mq_strdup(err, file, &image->file));
    mq_path_tidy(image->file);
    f->image_count++;
cleanup:
    return status;
}

/* Both tables' rows begin with the id. */
static int compare_ids(const void *a, const void *b) {
    const long long x = *(const long long *)a, y = *(const long long *)b;
    return x < y ? -1 : x > y;
}

/* The row of an id; NULL when there is none. */
static void *find_id(void *rows, size_t count, size_t size, long long id) {
    return count ? bsearch(&id, rows, count, size, compare_ids) : NULL;
}

static mq_status sort_ids(mq_err *err, const coco_file *f, const char *what, void *rows, size_t count,
                          size_t size) {
    if (count) qsort(rows, count, size, compare_ids);
    for (size_t i = 1; i < count; i++) {
        const char *row = (const char *)rows + i * size;
        if (compare_ids(row - size, row) == 0)
            return mq_fail(err, MQ_BAD_DATA, "%s: two %s have the id %lld", f->path, what,
                           *(const long long *)row);
    }
    return MQ_OK;
}

/* Where a picture lies: beside the JSON, or in one of the folders such sets have. */
static mq_status find_picture(mq_err *err, const coco_file *f, coco_image *image) {
    mq_status status = MQ_OK;
    const char *const folders[] = {f->folder, f->stem, f->plain, "images", "", NULL};
    if (image->name || image->missing) return MQ_OK;
    MQ_TRY(mq_import_find_file(err, f->job, folders, image->file, &image->name));
    image->missing = !image->name;
cleanup:
    return status;
}

/* bbox is x, y, width, height. An annotation without one, or with null or [], is about the whole picture. */
static mq_status read_box(mq_err *err, const coco_file *f, size_t index, const mq_json *element,
                          mq_object *o) {
    mq_status status = MQ_OK;
    const mq_json *box = mq_json_get(element, "bbox");
    if (!box || mq_json_is_empty(box)) return MQ_OK;
    for (size_t i = 0; i < 4; i++) {
        const mq_json *side = mq_json_at(box, i);
        MQ_REQUIRE(mq_json_size(box) == 4 && mq_json_is_number(side), err, MQ_BAD_DATA,
                   "%s: annotations, element %zu: bbox is not four numbers", f->path, index + 1);
        o->box[i] = mq_json_real(side);
    }
    o->box[2] += o->box[0];
    o->box[3] += o->box[1];
    o->has_box = true;
cleanup:
    return status;
}

static mq_status take_annotation(mq_err *err, void *user, size_t index, const mq_json *element) {
    mq_status status = MQ_OK;
    coco_file *f = user;
    long long image_id = 0, category_id = 0, id = 0;
    mq_entry *entry = NULL;
    const mq_import_plan *plan = f->job->plan;
    MQ_TRY(mq_import_go_on(err, f->job));
    if (plan->progress)
        plan->progress(plan->user, "MB of annotations read", f->list.done / MB, f->list.size / MB);
    MQ_TRY(need_whole(err, f, index, element, "image_id", &image_id));
    MQ_TRY(need_whole(err, f, index, element, "category_id", &category_id));
    if (!mq_json_is_whole(mq_json_get(element, "id"), &id) || id < 0) id = (long long)index + 1;
    coco_image *image = find_id(f->images, f->image_count, sizeof *f->images, image_id);
    const coco_category *category = find_id(f->categories, f->category_count, sizeof *f->categories,
                                            category_id);
    MQ_REQUIRE(image, err, MQ_BAD_DATA, "%s: annotations, element %zu: no image has the id %lld", f->path,
               index + 1, image_id);
    MQ_REQUIRE(category, err, MQ_BAD_DATA, "%s: annotations, element %zu: no category has the id %lld",
               f->path, index + 1, category_id);
    f->rows++;
    MQ_TRY(find_picture(err, f, image));
    if (image->missing) {
        MQ_TRY(mq_wrong_row(err, f->missing, (size_t)id, image->file));
        goto cleanup;
    }
    mq_object o = {.file = image->name,
                   .number = (uint64_t)id,
                   .class = category->class,
                   .split = f->split,
                   .row = (size_t)id,
                   .width = image->width,
                   .height = image->height};
    MQ_TRY(read_box(err, f, index, element, &o));
    const bool crowd = mq_json_int(mq_json_get(element, "iscrowd")) == 1;
    if (crowd && plan->boxes == MQ_BOXES_IGNORE) goto cleanup; /* says nothing of the picture */
    MQ_TRY(mq_import_add_object(err, f->job, &o, crowd ? NULL : f->inverted, &entry));
    if (crowd) MQ_TRY(mq_manifest_leave_out(err, entry, "a crowd, not one object (iscrowd)"));
cleanup:
    return status;
}

/* Names that the places of pictures follow from. */
static mq_status name_places(mq_err *err, coco_file *f, const char *path) {
    mq_status status = MQ_OK;
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *stem = strncmp(base, "instances_", 10) == 0 ? base + 10 : base;
    MQ_TRY(mq_format(err, &f->folder, "%.*s", slash ? (int)(slash - path) : 0, path));
    MQ_TRY(mq_format(err, &f->stem, "%.*s", (int)(strlen(stem) - strlen(".json")), stem));
    MQ_TRY(mq_format(err, &f->plain, "images/%s", f->stem));
cleanup:
    return status;
}

static void free_file(coco_file *f) {
    for (size_t i = 0; i < f->image_count; i++) {
        free(f->images[i].file);
        free(f->images[i].name);
    }
    for (size_t i = 0; i < f->category_count; i++) free(f->categories[i].name);
    free(f->images);
    free(f->categories);
    free(f->folder);
    free(f->stem);
    free(f->plain);
    mq_buf_free(&f->text);
}

static mq_status read_list(mq_err *err, coco_file *f, const char *key, mq_json_element take) {
    f->list = (mq_json_list){f->path, (const char *)f->text.data, f->text.size, key, 0};
    return mq_json_list_each(err, &f->list, take, f);
}

/* path is below the source, or the plan's own. */
static mq_status read_file(mq_err *err, coco_file *f, const char *full, const char *path) {
    mq_status status = MQ_OK;
    char hex[MQ_HEX_SIZE];
    f->path = path;
    f->text = mq_buf_init(FILE_LIMIT);
    MQ_TRY(name_places(err, f, path));
    MQ_TRY(mq_file_read(err, full, &f->text));
    MQ_TRY(mq_sha256_hex(err, f->text.size ? f->text.data : (uint8_t *)"", f->text.size, hex));
    MQ_TRY(mq_import_digest_more(err, f->job, hex));
    MQ_TRY(read_list(err, f, "categories", take_category));
    MQ_TRY(sort_ids(err, f, "categories", f->categories, f->category_count, sizeof *f->categories));
    for (size_t i = 0; i < f->category_count; i++)
        MQ_TRY(mq_import_class_of(err, f->job, f->categories[i].name, &f->categories[i].class));
    MQ_TRY(read_list(err, f, "images", take_image));
    MQ_TRY(sort_ids(err, f, "images", f->images, f->image_count, sizeof *f->images));
    MQ_TRY(read_list(err, f, "annotations", take_annotation));
cleanup:
    return status;
}

/* The parts are the source's own when it has one for training and another. */
static bool has_splits(const mq_names *list) {
    bool there[MQ_SPLITS] = {false};
    mq_split split;
    for (size_t i = 0; i < list->count; i++)
        if (mq_import_split_in(list->items[i], &split)) there[split] = true;
    return there[MQ_TRAIN] && (there[MQ_VAL] || there[MQ_TEST]);
}

/* A source that is a JSON file, or --annotations names one. Pictures of annotations/x.json lie beside that
 * folder. */
static mq_status find_one(mq_err *err, mq_import_job *job, mq_names *list) {
    mq_status status = MQ_OK;
    const char *given = job->list ? job->list : job->plan->annotations;
    const char *slash = strrchr(given, '/');
    if (job->list && mq_text_ends(job->root, "/annotations")) {
        *strrchr(job->root, '/') = 0;
        MQ_TRY(add_path(err, list, "annotations", slash + 1));
    } else {
        MQ_TRY(add_path(err, list, "", slash ? slash + 1 : given));
    }
cleanup:
    return status;
}

static mq_status read_coco(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_names list = {0};
    char *full = NULL;
    size_t rows = 0;
    mq_wrong_rows missing = {.unit = "annotation", .shown = mq_buf_init(MQ_WRONG_SHOWN)}, inverted = missing;
    const char *one = job->list ? job->list : job->plan->annotations;
    if (one)
        MQ_TRY(find_one(err, job, &list));
    else
        MQ_TRY(find_files(err, job, &list));
    const bool splits = has_splits(&list);
    for (size_t i = 0; i < list.count; i++) {
        coco_file f = {.job = job, .split = MQ_SPLITS, .missing = &missing, .inverted = &inverted};
        if (splits && mq_import_split_in(list.items[i], &f.split)) job->manifest.sets_split[f.split] = true;
        free(full);
        full = NULL;
        if (one)
            MQ_TRY(mq_strdup(err, one, &full));
        else
            MQ_TRY(mq_path_join(err, job->root, list.items[i], &full));
        status = read_file(err, &f, full, list.items[i]);
        rows += f.rows;
        free_file(&f);
        MQ_TRY(status);
    }
    MQ_TRY(mq_import_judge_rows(err, job, job->plan->source, rows, &missing, &inverted));
    MQ_TRY(mq_import_end_objects(err, job));
    job->report->class_rule = "class = category of the annotation";
cleanup:
    mq_buf_free(&missing.shown);
    mq_buf_free(&inverted.shown);
    mq_names_free(&list);
    free(full);
    return status;
}

const mq_import_source mq_import_coco = {"coco", "annotation", probe, read_coco, true};
