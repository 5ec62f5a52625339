/* import_folder.c: a folder for each class. Called by import.c through its
 * row. Owns the walk. Invariant: nothing but regular files and folders that
 * --follow reaches is ever opened, no folder twice, and the order is that of the
 * bytes of names. */
#include "base/json.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <errno.h>
#include <search.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { DEPTH_MAX = 32 };

/* Top folders that name a split, in place of a class; in capitals, too, for two classes by these names are
 * hardly ever meant. */
static const struct {
    const char *name;
    mq_split split;
} SPLIT_FOLDERS[] = {
    {"train", MQ_TRAIN}, {"val", MQ_VAL}, {"valid", MQ_VAL}, {"validation", MQ_VAL}, {"test", MQ_TEST},
};

bool mq_import_split_folder(const char *name, size_t length, mq_split *split) {
    for (size_t i = 0; i < sizeof SPLIT_FOLDERS / sizeof *SPLIT_FOLDERS; i++) {
        if (strlen(SPLIT_FOLDERS[i].name) != length || strncasecmp(name, SPLIT_FOLDERS[i].name, length) != 0)
            continue;
        *split = SPLIT_FOLDERS[i].split;
        return true;
    }
    return false;
}

/* A folder as the file system knows it, whatever path leads there. */
typedef struct {
    dev_t device;
    ino_t inode;
} identity;

typedef struct link_found link_found;

/* The walk as a whole. Folders behind links come after all others, so that a folder of the source is read
 * under its own name. */
typedef struct {
    void *visited;     /* tsearch's tree of identities, owned as they are */
    link_found *links; /* to folders, in the order they were found; owned */
    size_t count, capacity;
} trail;

/* Where the walk is. */
typedef struct {
    mq_import_job *job;
    trail *trail;
    const char *name; /* path below the source, "" at the top; the walk's */
    size_t depth;     /* folders between the source and here */
    bool in_split;    /* the top folder was a split, so classes begin one folder lower */
    mq_split split;   /* of what lies here; MQ_SPLITS: none */
    bool has_class;
    uint32_t class;
} place;

struct link_found {
    place holder; /* where it lies; without the name */
    char *name;   /* its own path below the source; owned */
    struct stat target;
};

static mq_status leave_out(mq_err *err, mq_import_job *job, const char *name, const char *reason) {
    mq_entry *entry = NULL;
    mq_status status = MQ_OK;
    MQ_TRY(mq_manifest_add(err, &job->manifest, name, 0, &entry));
    MQ_TRY(mq_manifest_leave_out(err, entry, "%s", reason));
cleanup:
    return status;
}

static const char *describe(mode_t mode) {
    return S_ISFIFO(mode)   ? "a named pipe, not a file"
           : S_ISSOCK(mode) ? "a socket, not a file"
                            : "a device, not a file";
}

static int compare_identities(const void *a, const void *b) {
    const identity *x = a, *y = b;
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    return x->inode == y->inode ? 0 : x->inode < y->inode ? -1 : 1;
}

/* Notes that the folder st is read from now on; *first false: it was noted before. */
static mq_status note_visit(mq_err *err, trail *t, const struct stat *st, bool *first) {
    mq_status status = MQ_OK;
    identity *id = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *id, "a folder", &id));
    *id = (identity){st->st_dev, st->st_ino};
    identity *const *node = tsearch(id, &t->visited, compare_identities);
    MQ_REQUIRE(node, err, MQ_NO_MEMORY, "no memory for a folder");
    *first = *node == id;
    if (*first) id = NULL;
cleanup:
    free(id);
    return status;
}

/* Whether the folder name below the source is a data set, as an earlier import may have left among the
 * pictures. */
static bool is_dataset(const mq_import_job *job, const char *name) {
    mq_err ignored = {0};
    char *folder = NULL, *path = NULL;
    mq_json *json = NULL;
    const bool read = mq_path_join(&ignored, job->root, name, &folder) == MQ_OK &&
                      mq_path_join(&ignored, folder, "dataset.json", &path) == MQ_OK &&
                      mq_file_exists(path) && mq_json_load(&ignored, path, &json) == MQ_OK;
    const char *format = read ? mq_json_string(mq_json_get(json, "format")) : NULL;
    const bool is = format && strcmp(format, "marque.dataset") == 0;
    mq_json_free(&json);
    free(folder);
    free(path);
    return is;
}

static mq_status walk(mq_err *err, const place *here);

/* The folder st, called base in here and name below the source. */
static mq_status enter_folder(mq_err *err, const place *here, const char *name, const struct stat *st) {
    mq_status status = MQ_OK;
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    const struct stat *output = &here->job->output;
    bool first = false;
    place below = *here;
    if (output->st_ino && st->st_ino == output->st_ino && st->st_dev == output->st_dev) return MQ_OK;
    if (is_dataset(here->job, name))
        return leave_out(err, here->job, name, "a data set of marque, no class of pictures");
    if (here->depth >= DEPTH_MAX) return leave_out(err, here->job, name, "a folder below too many others");
    MQ_TRY(note_visit(err, here->trail, st, &first));
    if (!first) return leave_out(err, here->job, name, "a folder that is read under another name");
    below.name = name;
    below.depth = here->depth + 1;
    if (here->in_split && here->depth == 0) {
        if (mq_import_split_folder(base, strlen(base), &below.split))
            here->job->manifest.sets_split[below.split] = true;
    } else if (!here->has_class || here->job->plan->leaf) {
        below.has_class = true;
        MQ_TRY(mq_import_class_of(err, here->job, base, &below.class));
    }
    MQ_TRY(walk(err, &below));
cleanup:
    return status;
}

/* A link to a folder, kept until all folders that are none are read. */
static mq_status keep_link(mq_err *err, const place *here, const char *name, const struct stat *target) {
    mq_status status = MQ_OK;
    trail *t = here->trail;
    MQ_TRY(mq_grow(err, &t->links, &t->capacity, t->count + 1, sizeof *t->links));
    t->links[t->count] = (link_found){.holder = *here, .target = *target};
    t->links[t->count].holder.name = NULL;
    MQ_TRY(mq_strdup(err, name, &t->links[t->count].name));
    t->count++;
cleanup:
    return status;
}

/* Enters the folders behind links, and those behind links in these. */
static mq_status enter_links(mq_err *err, trail *t) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < t->count; i++) {
        const link_found link = t->links[i]; /* the array may move */
        MQ_TRY(enter_folder(err, &link.holder, link.name, &link.target));
    }
cleanup:
    return status;
}

static void free_trail(trail *t) {
    for (size_t i = 0; i < t->count; i++) free(t->links[i].name);
    free(t->links);
    tdestroy(t->visited, free);
}

/* One name in a folder: a folder to enter, a picture to take, or something to leave out. */
static mq_status visit(mq_err *err, const place *here, const char *base) {
    mq_status status = MQ_OK;
    mq_import_job *job = here->job;
    char *name = NULL, *path = NULL;
    const char *reason = NULL;
    mq_entry *entry = NULL;
    struct stat st;
    bool linked = false, inside = false;
    MQ_TRY(mq_import_go_on(err, job));
    MQ_TRY(mq_format(err, &name, "%s%s%s", here->name, here->name[0] ? "/" : "", base));
    MQ_TRY(mq_path_join(err, job->root, name, &path));
    if (lstat(path, &st) != 0)
        reason = strerror(errno);
    else if ((linked = S_ISLNK(st.st_mode)))
        reason = mq_import_follow(job, path, &st, &inside);
    if (!reason && S_ISDIR(st.st_mode)) {
        MQ_TRY(linked ? keep_link(err, here, name, &st) : enter_folder(err, here, name, &st));
        goto cleanup;
    }
    if (!reason && !S_ISREG(st.st_mode)) reason = describe(st.st_mode);
    if (!reason && !here->has_class) reason = "lies in no class folder";
    if (reason) {
        MQ_TRY(leave_out(err, job, name, reason));
    } else {
        MQ_TRY(mq_manifest_add(err, &job->manifest, name, here->class, &entry));
        entry->split = here->split;
    }
cleanup:
    free(name);
    free(path);
    return status;
}

static mq_status walk(mq_err *err, const place *here) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    MQ_TRY(mq_path_join(err, here->job->root, here->name, &path));
    if (here->depth && access(path, R_OK) != 0) { /* that is no end of the import */
        MQ_TRY(leave_out(err, here->job, here->name, "a folder that may not be read"));
        goto cleanup;
    }
    MQ_TRY(mq_names_in(err, path, &names));
    for (size_t i = 0; i < names.count; i++) {
        if (mq_name_is_litter(names.items[i]))
            here->job->report->litter++;
        else
            MQ_TRY(visit(err, here, names.items[i]));
    }
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

/* Whether a top folder called name may be the part of the source that it names, or a class. A link to a
 * folder of the source is only another name of it, unless it is a part's. */
static bool counts_as_top(const mq_import_job *job, const char *name, const char *path, bool named) {
    struct stat st;
    bool inside = false;
    if (lstat(path, &st) != 0) return false;
    if (S_ISLNK(st.st_mode) && mq_import_follow(job, path, &st, &inside)) return false;
    if (!S_ISDIR(st.st_mode) || (inside && !named) || is_dataset(job, name)) return false;
    return !(job->output.st_ino && st.st_ino == job->output.st_ino && st.st_dev == job->output.st_dev);
}

/* The top folders are splits when all of them are called so and train is among them; a class called "train"
 * beside "bus" stays a class. */
static mq_status has_split_folders(mq_err *err, const mq_import_job *job, bool *splits) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    size_t folders = 0, named = 0, train = 0;
    MQ_TRY(mq_names_in(err, job->root, &names));
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        mq_split split = MQ_SPLITS;
        const bool is = mq_import_split_folder(name, strlen(name), &split);
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, job->root, name, &path));
        if (mq_name_is_litter(name) || !counts_as_top(job, name, path, is)) continue;
        folders++;
        named += is;
        train += is && split == MQ_TRAIN;
    }
    *splits = folders > 1 && named == folders && train;
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

static bool probe(const mq_import_job *job) {
    return !job->list;
}

mq_status mq_import_check_leaves(mq_err *err, const mq_import_job *job) {
    mq_status status = MQ_OK;
    const char **folder = NULL; /* of each class, the first picture's name */
    char safe[256];
    MQ_TRY(mq_calloc(err, job->manifest.class_count, sizeof *folder, "classes", &folder));
    for (size_t i = 0; i < job->manifest.count; i++) {
        const mq_entry *entry = &job->manifest.entries[i];
        if (entry->reason) continue;
        const char *name = entry->split == MQ_SPLITS ? entry->name : strchr(entry->name, '/') + 1;
        const char **first = &folder[entry->class];
        if (!*first) *first = name;
        const size_t length = (size_t)(strrchr(name, '/') - name);
        MQ_REQUIRE(strncmp(*first, name, length + 1) == 0 && !strchr(*first + length + 1, '/'), err,
                   MQ_BAD_DATA, "two folders are called %s, in different places; rename one",
                   mq_text_safe(job->manifest.classes[entry->class], safe, sizeof safe));
    }
cleanup:
    free(folder);
    return status;
}

static mq_status read_folder(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    bool splits = false, first = false;
    trail t = {0};
    struct stat st;
    MQ_TRY(has_split_folders(err, job, &splits));
    place top = {.job = job, .trail = &t, .name = "", .in_split = splits, .split = MQ_SPLITS};
    MQ_REQUIRE(stat(job->root, &st) == 0, err, MQ_NO_INPUT, "%s: %s", job->root, strerror(errno));
    MQ_TRY(note_visit(err, &t, &st, &first));
    MQ_TRY(walk(err, &top));
    MQ_TRY(enter_links(err, &t));
    if (t.count) MQ_TRY(mq_manifest_sort_classes(err, &job->manifest, job->first_classes));
    job->report->class_rule = job->plan->leaf ? MQ_RULE_LEAF
                              : splits        ? "class = folder below train, val and test"
                                              : "class = top folder";
    if (job->plan->leaf) MQ_TRY(mq_import_check_leaves(err, job));
    mq_manifest_sort(&job->manifest);
cleanup:
    free_trail(&t);
    return status;
}

const mq_import_source mq_import_folder = {"folder", "file", probe, read_folder, false};
