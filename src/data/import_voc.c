/* import_voc.c: pictures with boxes in Pascal VOC's form: an XML file for each
 * (VOC2012 Development Kit, section 8; also what LabelImg writes). Called by
 * import.c through its row. Owns what it read of one file. Invariant: objects are
 * taken when their whole file is read. */
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/import_parts.h"
#include "data/xml.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <string.h>

enum { SIDES = 4, SETS_LIMIT = 256 << 20, OBJECTS_MAX = 100000 };

/* Where the XML files may lie, the first that has some; and their pictures. */
static const char *const XML_FOLDERS[] = {"Annotations", "annotations", ""};
static const char *const PICTURE_FOLDERS[] = {"JPEGImages", "images", "", NULL};

typedef struct {
    char *class; /* owned */
    double box[SIDES];
    unsigned sides; /* bits of those that were there */
    bool difficult;
} voc_object;

/* One XML file. */
typedef struct {
    const char *path;       /* for messages; borrowed */
    char *file;             /* the picture's name as it says; NULL: it does not; owned */
    uint32_t width, height; /* the same; 0 */
    voc_object *objects;
    size_t count, capacity;
} voc_file;

/* Names in the order of their bytes, owned; of a set each with its part. */
typedef struct {
    char *name;
    mq_split split;
} voc_name;

typedef struct {
    voc_name *names;
    size_t count, capacity;
} name_list;

typedef struct {
    mq_import_job *job;
    const char *folder; /* of the XML files, below the source; static */
    name_list stems;    /* of the XML files */
    name_list sets;     /* of ImageSets/Main */
    size_t rows;
    mq_wrong_rows missing, inverted;
} voc_source;

static int compare_voc_names(const void *a, const void *b) {
    return strcmp(((const voc_name *)a)->name, ((const voc_name *)b)->name);
}

static mq_status add_name(mq_err *err, name_list *list, const char *name, size_t length, mq_split split) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(err, &list->names, &list->capacity, list->count + 1, sizeof *list->names));
    MQ_TRY(mq_format(err, &list->names[list->count].name, "%.*s", (int)length, name));
    list->names[list->count++].split = split;
cleanup:
    return status;
}

static void free_names(name_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->names[i].name);
    free(list->names);
}

/* The stems of the XML files in a folder of the source; none where there is no such folder. */
static mq_status list_stems(mq_err *err, const mq_import_job *job, const char *folder, name_list *list) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    MQ_TRY(mq_path_join(err, job->root, folder, &path));
    if (!mq_folder_exists(path)) goto cleanup;
    MQ_TRY(mq_names_in(err, path, &names));
    for (size_t i = 0; i < names.count; i++)
        if (names.items[i][0] != '.' && mq_text_ends(names.items[i], ".xml"))
            MQ_TRY(add_name(err, list, names.items[i], strlen(names.items[i]) - 4, MQ_SPLITS));
    if (list->count) qsort(list->names, list->count, sizeof *list->names, compare_voc_names);
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

/* The picture of an XML file's name, its ending in small letters or capitals. */
static mq_status find_by_stem(mq_err *err, const mq_import_job *job, const char *stem, char **name) {
    mq_status status = MQ_OK;
    char *file = NULL;
    for (size_t i = 0; !*name && mq_import_endings[i]; i++) {
        free(file);
        file = NULL;
        MQ_TRY(mq_format(err, &file, "%s%s", stem, mq_import_endings[i]));
        MQ_TRY(mq_import_find_file(err, job, PICTURE_FOLDERS, file, name));
        for (char *p = file + strlen(stem); *p; p++) *p = (char)toupper((unsigned char)*p);
        if (!*name) MQ_TRY(mq_import_find_file(err, job, PICTURE_FOLDERS, file, name));
    }
cleanup:
    free(file);
    return status;
}

/* Beside pictures in one folder an XML file may also be something else: some picture has to have its name. */
static mq_status drop_strangers(mq_err *err, const mq_import_job *job, name_list *list) {
    mq_status status = MQ_OK;
    char *name = NULL;
    for (size_t i = 0; !name && i < list->count; i++)
        MQ_TRY(find_by_stem(err, job, list->names[i].name, &name));
    if (!name) {
        free_names(list);
        *list = (name_list){0};
    }
cleanup:
    free(name);
    return status;
}

static mq_status find_stems(mq_err *err, const mq_import_job *job, const char **folder, name_list *list) {
    mq_status status = MQ_OK;
    for (size_t i = 0; !list->count && i < sizeof XML_FOLDERS / sizeof *XML_FOLDERS; i++) {
        *folder = XML_FOLDERS[i];
        MQ_TRY(list_stems(err, job, *folder, list));
        if (!**folder) MQ_TRY(drop_strangers(err, job, list));
    }
cleanup:
    return status;
}

/* A folder VOC2012 in the source, which is then the development kit's and no folder of classes; of several
 * the first. *name is the caller's; NULL: none. */
static mq_status find_inner(mq_err *err, const mq_import_job *job, char **name) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    MQ_TRY(mq_names_in(err, job->root, &names));
    for (size_t i = 0; i < names.count && !*name; i++) {
        if (strncmp(names.items[i], "VOC", 3) != 0) continue;
        free(path);
        path = NULL;
        MQ_TRY(mq_format(err, &path, "%s/%s/Annotations", job->root, names.items[i]));
        if (mq_folder_exists(path)) MQ_TRY(mq_strdup(err, names.items[i], name));
    }
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

static bool probe(const mq_import_job *job) {
    mq_err ignored = {0};
    name_list list = {0};
    const char *folder = NULL;
    char *inner = NULL;
    if (job->list) return false;
    const bool found = (find_stems(&ignored, job, &folder, &list) == MQ_OK && list.count) ||
                       (find_inner(&ignored, job, &inner) == MQ_OK && inner);
    free_names(&list);
    free(inner);
    return found;
}

static bool is_stem(const voc_source *s, const char *name) {
    const voc_name wanted = {(char *)name, MQ_SPLITS};
    return s->stems.count &&
           bsearch(&wanted, s->stems.names, s->stems.count, sizeof wanted, compare_voc_names);
}

/* A line of a set: a stem, or one and more behind a blank. */
static mq_status add_line(mq_err *err, voc_source *s, const char *line, size_t length, mq_split split) {
    mq_status status = MQ_OK;
    MQ_TRY(add_name(err, &s->sets, line, length, split));
    char *name = s->sets.names[s->sets.count - 1].name;
    if (!is_stem(s, name)) name[strcspn(name, " \t")] = 0;
cleanup:
    return status;
}

/* A file of ImageSets/Main: a stem a line. */
static mq_status read_set(mq_err *err, voc_source *s, const char *file, mq_split split) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_buf text = mq_buf_init(SETS_LIMIT);
    MQ_TRY(mq_path_join(err, s->job->root, file, &path));
    if (!mq_file_exists(path)) goto cleanup;
    MQ_TRY(mq_file_read(err, path, &text));
    const char *p = text.size ? (char *)text.data + mq_text_mark(text.data, text.size) : "";
    while (*(p += strspn(p, " \t\r\n"))) {
        size_t length = strcspn(p, "\r\n");
        const char *line = p;
        p += length;
        while (line[length - 1] == ' ' || line[length - 1] == '\t') length--;
        MQ_TRY(add_line(err, s, line, length, split));
    }
    s->job->manifest.sets_split[split] = true;
cleanup:
    mq_buf_free(&text);
    free(path);
    return status;
}

static int compare_members(const void *a, const void *b) {
    const int by_name = compare_voc_names(a, b);
    return by_name ? by_name : (int)((const voc_name *)a)->split - (int)((const voc_name *)b)->split;
}

/* Of a name in several sets the last stays: what is tested on is not trained on. */
static void drop_repeated(name_list *list) {
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        if (kept && compare_voc_names(&list->names[kept - 1], &list->names[i]) == 0)
            free(list->names[--kept].name);
        list->names[kept++] = list->names[i];
    }
    list->count = kept;
}

/* trainval stands for train where train itself is not told. */
static mq_status read_sets(mq_err *err, voc_source *s) {
    mq_status status = MQ_OK;
    size_t without = 0;
    MQ_TRY(read_set(err, s, "ImageSets/Main/train.txt", MQ_TRAIN));
    if (!s->sets.count) MQ_TRY(read_set(err, s, "ImageSets/Main/trainval.txt", MQ_TRAIN));
    MQ_TRY(read_set(err, s, "ImageSets/Main/val.txt", MQ_VAL));
    MQ_TRY(read_set(err, s, "ImageSets/Main/test.txt", MQ_TEST));
    if (s->sets.count) qsort(s->sets.names, s->sets.count, sizeof *s->sets.names, compare_members);
    drop_repeated(&s->sets);
    for (size_t i = 0; i < s->sets.count; i++) without += !is_stem(s, s->sets.names[i].name);
    if (without)
        mq_warn("%s: %zu names in ImageSets/Main have no file of annotations", s->job->plan->source, without);
cleanup:
    return status;
}

static mq_split split_of(const voc_source *s, char *stem) {
    const voc_name wanted = {stem, MQ_SPLITS};
    const voc_name *found = s->sets.count ? bsearch(&wanted, s->sets.names, s->sets.count, sizeof wanted,
                                                    compare_voc_names)
                                          : NULL;
    return found ? found->split : MQ_SPLITS;
}

/* A number of pixels, which may have a fraction. */
static mq_status take_side(mq_err *err, const voc_file *f, voc_object *o, size_t side, const char *text) {
    char *end = NULL, safe[64];
    o->box[side] = strtod(text, &end);
    if (end == text || *end || !isfinite(o->box[side]))
        return mq_fail(err, MQ_BAD_DATA, "%s: object %zu has \"%s\" for a side of its box", f->path,
                       f->count + 1, mq_text_safe(text, safe, sizeof safe));
    o->sides |= 1u << side;
    return MQ_OK;
}

/* An element has ended. The object in work lies behind the last one. Parts of an object, which have names and
 * boxes too, are deeper and so passed over. */
static mq_status take_element(mq_err *err, void *user, const char *path, const char *text) {
    static const char *const sides[SIDES] = {"xmin", "ymin", "xmax", "ymax"};
    static const char in_object[] = "annotation/object/";
    mq_status status = MQ_OK;
    voc_file *f = user;
    if (strcmp(path, "annotation/filename") == 0 && !f->file) return mq_strdup(err, text, &f->file);
    if (strcmp(path, "annotation/size/width") == 0) f->width = mq_import_side(strtod(text, NULL));
    if (strcmp(path, "annotation/size/height") == 0) f->height = mq_import_side(strtod(text, NULL));
    if (strncmp(path, in_object, strlen(in_object) - 1) != 0) return MQ_OK;
    if (f->count == f->capacity) {
        const size_t before = f->capacity;
        MQ_REQUIRE(f->count < OBJECTS_MAX, err, MQ_BAD_DATA, "%s: more than %d objects", f->path,
                   OBJECTS_MAX);
        MQ_TRY(mq_grow(err, &f->objects, &f->capacity, f->count + 1, sizeof *f->objects));
        memset(f->objects + before, 0, (f->capacity - before) * sizeof *f->objects);
    }
    voc_object *o = &f->objects[f->count];
    if (path[strlen(in_object) - 1] == 0) {
        MQ_REQUIRE(o->class && *o->class, err, MQ_BAD_DATA, "%s: object %zu has no name", f->path,
                   f->count + 1);
        MQ_REQUIRE(o->sides == 0 || o->sides == (1u << SIDES) - 1, err, MQ_BAD_DATA,
                   "%s: the box of object %zu lacks a side", f->path, f->count + 1);
        f->count++;
        goto cleanup;
    }
    const char *member = path + strlen(in_object);
    if (strcmp(member, "name") == 0 && !o->class) MQ_TRY(mq_strdup(err, text, &o->class));
    if (strcmp(member, "difficult") == 0) o->difficult = strcmp(text, "1") == 0;
    for (size_t i = 0; i < SIDES; i++)
        if (strncmp(member, "bndbox/", 7) == 0 && strcmp(member + 7, sides[i]) == 0)
            MQ_TRY(take_side(err, f, o, i, text));
cleanup:
    return status;
}

static void free_file(voc_file *f) {
    for (size_t i = 0; i < f->capacity; i++) free(f->objects[i].class);
    free(f->objects);
    free(f->file);
}

/* The picture's name as the file says it; else the file's own with another ending. */
static mq_status find_picture(mq_err *err, const voc_source *s, const voc_file *f, const char *stem,
                              char **name) {
    mq_status status = MQ_OK;
    if (f->file && *f->file && mq_import_is_inside(f->file))
        MQ_TRY(mq_import_find_file(err, s->job, PICTURE_FOLDERS, f->file, name));
    if (!*name) MQ_TRY(find_by_stem(err, s->job, stem, name));
cleanup:
    return status;
}

/* Pixels count from 1 and the last one belongs to the box: its edges are xmin - 1 and xmax. */
static mq_status take_objects(mq_err *err, voc_source *s, const voc_file *f, size_t row, const char *name,
                              mq_split split) {
    mq_status status = MQ_OK;
    size_t plain = 0;
    for (size_t i = 0; i < f->count; i++) plain += !f->objects[i].difficult;
    for (size_t i = 0; i < f->count; i++) {
        const voc_object *v = &f->objects[i];
        mq_entry *entry = NULL;
        mq_object o = {.file = name,
                       .number = i + 1,
                       .split = split,
                       .row = row,
                       .has_box = v->sides != 0,
                       .box = {v->box[0] - 1, v->box[1] - 1, v->box[2], v->box[3]},
                       .width = f->width,
                       .height = f->height};
        /* As a whole a picture is about its other objects; without any it is left out, once. */
        if (v->difficult && s->job->plan->boxes == MQ_BOXES_IGNORE && (plain || i)) continue;
        MQ_TRY(mq_import_class_of(err, s->job, v->class, &o.class));
        MQ_TRY(mq_import_add_object(err, s->job, &o, v->difficult ? NULL : &s->inverted, &entry));
        if (v->difficult) MQ_TRY(mq_manifest_leave_out(err, entry, "marked as difficult"));
    }
cleanup:
    return status;
}

static mq_status read_one(mq_err *err, voc_source *s, size_t row) {
    mq_status status = MQ_OK;
    char *stem = s->stems.names[row].name, *path = NULL, *full = NULL, *name = NULL, hex[MQ_HEX_SIZE];
    mq_buf text = mq_buf_init(MQ_XML_MAX);
    voc_file f = {0};
    MQ_TRY(mq_import_go_on(err, s->job));
    MQ_TRY(mq_format(err, &path, "%s%s%s.xml", s->folder, *s->folder ? "/" : "", stem));
    MQ_TRY(mq_path_join(err, s->job->root, path, &full));
    MQ_TRY(mq_file_read(err, full, &text));
    const uint8_t *bytes = text.data ? text.data : (const uint8_t *)"";
    MQ_TRY(mq_sha256_hex(err, bytes, text.size, hex));
    MQ_TRY(mq_import_digest_more(err, s->job, hex));
    f.path = path;
    MQ_TRY(mq_xml_read(err, path, bytes, text.size, take_element, &f));
    MQ_TRY(find_picture(err, s, &f, stem, &name));
    s->rows++;
    if (name)
        MQ_TRY(take_objects(err, s, &f, row + 1, name, split_of(s, stem)));
    else
        MQ_TRY(mq_wrong_row(err, &s->missing, row + 1, path));
cleanup:
    free_file(&f);
    mq_buf_free(&text);
    free(name);
    free(full);
    free(path);
    return status;
}

static mq_status read_voc(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    voc_source s = {.job = job, .missing = {.unit = "file", .shown = mq_buf_init(MQ_WRONG_SHOWN)}};
    s.inverted = s.missing;
    char *inner = NULL;
    MQ_TRY(find_stems(err, job, &s.folder, &s.stems));
    if (!s.stems.count) MQ_TRY(find_inner(err, job, &inner));
    MQ_REQUIRE(s.stems.count, err, MQ_USAGE, "%s: holds Pascal VOC in %s; import that folder",
               job->plan->source, inner);
    MQ_TRY(read_sets(err, &s));
    for (size_t i = 0; i < s.stems.count; i++) {
        MQ_TRY(read_one(err, &s, i));
        if (job->plan->progress)
            job->plan->progress(job->plan->user, "files of annotations read", i + 1, s.stems.count);
    }
    MQ_TRY(mq_import_judge_rows(err, job, job->plan->source, s.rows, &s.missing, &s.inverted));
    MQ_TRY(mq_import_end_objects(err, job));
    MQ_TRY(mq_manifest_sort_classes(err, &job->manifest, job->first_classes));
    job->report->class_rule = "class = name of the object";
cleanup:
    mq_buf_free(&s.missing.shown);
    mq_buf_free(&s.inverted.shown);
    free_names(&s.stems);
    free_names(&s.sets);
    free(inner);
    return status;
}

const mq_import_source mq_import_voc = {"pascal-voc", "file", probe, read_voc, true};
