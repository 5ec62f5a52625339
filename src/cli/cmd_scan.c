/* cmd_scan.c: `marque scan`, what in a data set somebody should look at. Owns
 * the scan while it is told. */
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/common.h"
#include "curate/scan.h"
#include "curate/scan_json.h"
#include "curate/scan_page.h"

#include <math.h>
#include <string.h>

static const char NETWORK[] = "xception";

enum { SHOWN = 3, NAME_SHOWN = 80, RECORD_MAX = 1 << 30, PAGE_MAX = 1 << 28 };

typedef struct {
    const char *output;
    int dtype;
    bool json, strict;
    int64_t threads, workers;
} scan_options;

static const mq_option params[] = {
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "DIR",
     .offset = offsetof(scan_options, output),
     .help = "folder for scan.json and scan.html, a page with thumbnails"},
    {.name = "strict",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(scan_options, strict),
     .help = "exit 65 where copies cross the split or classes, or a picture is corrupt"},
    MQ_OPTION_JSON(scan_options),
    MQ_OPTION_DTYPE(scan_options, MQ_DTYPE_AUTO),
    MQ_OPTION_THREADS(scan_options),
    MQ_OPTION_WORKERS(scan_options),
    {.name = NULL},
};

static void tell(void *user, const char *what, size_t done, size_t total, double seconds) {
    (void)user;
    char a[32], b[32], left[32];
    if (seconds > 0)
        mq_progress("%s / %s %s, %s left", mq_text_count(done, a), mq_text_count(total, b), what,
                    mq_duration(seconds / (double)done * (double)(total - done), left));
    else
        mq_progress("%s / %s %s", mq_text_count(done, a), mq_text_count(total, b), what);
}

/* "class/a.jpg (train)" in out. */
static const char *name_of(const mq_scan *scan, uint32_t picture, mq_buf *record, char out[NAME_SHOWN + 16]) {
    mq_sample sample;
    char safe[NAME_SHOWN];
    size_t index;
    const mq_split split = mq_picture_place(scan->dataset, picture, &index);
    mq_scan_sample(scan, picture, record, &sample);
    snprintf(out, NAME_SHOWN + 16, "%s (%s)", mq_text_safe(sample.name, safe, sizeof safe),
             mq_split_name(split));
    return out;
}

/* The first groups of one kind, a line each. */
static void print_groups(const mq_scan *scan, const char *where, size_t count, bool leak, bool conflict) {
    mq_buf record = mq_buf_init(RECORD_MAX);
    char number[32], name[NAME_SHOWN + 16];
    if (!count) return;
    printf("%8s %s of copies %s\n", mq_text_count(count, number), count == 1 ? "group" : "groups", where);
    for (size_t i = 0, shown = 0; i < scan->duplicates.count && shown < SHOWN; i++) {
        const mq_duplicate_group *g = &scan->duplicates.groups[i];
        const bool wanted = leak ? g->leak : conflict ? g->conflict : !g->leak && !g->conflict;
        if (!wanted) continue;
        shown++;
        printf("         ");
        for (size_t k = 0; k < g->count && k < SHOWN; k++)
            printf("%s%s", k ? " = " : "", name_of(scan, g->pictures[k], &record, name));
        if (g->count > SHOWN) printf(" and %zu more", g->count - SHOWN);
        puts(g->exact ? "" : g->confirmed ? "  near" : "  near, not confirmed");
    }
    mq_buf_free(&record);
}

static void print_flaws(const mq_scan *scan) {
    mq_buf record = mq_buf_init(RECORD_MAX);
    char number[32], name[NAME_SHOWN + 16];
    for (unsigned flaw = 0; flaw < MQ_FLAWS; flaw++) {
        const mq_flaw_text *text = mq_flaw_name((mq_flaw)flaw);
        if (!scan->flaws[flaw]) continue;
        printf("%8s %s (%s): ", mq_text_count(scan->flaws[flaw], number), text->word, text->means);
        uint32_t worst[SHOWN];
        const size_t shown = mq_scan_worst(scan, (mq_flaw)flaw, worst, SHOWN);
        for (size_t i = 0; i < shown; i++)
            printf("%s%s", i ? ", " : "", name_of(scan, worst[i], &record, name));
        if (scan->flaws[flaw] > shown)
            printf(" and %s more", mq_text_count(scan->flaws[flaw] - shown, number));
        putchar('\n');
    }
    mq_buf_free(&record);
}

static void print_tallies(const char *title, const mq_tallies *tallies) {
    char number[32];
    printf("%s", title);
    for (size_t i = 0; i < tallies->count; i++)
        printf("%s%s %s", i ? ", " : " ", tallies->items[i].name,
               mq_text_count(tallies->items[i].count, number));
    putchar('\n');
}

static void print_turns(const mq_tallies *turns) {
    char number[32];
    printf("turned    as EXIF asks:");
    for (size_t i = 0; i < turns->count; i++)
        printf("%s %s %s", i ? ";" : "", mq_text_count(turns->items[i].count, number),
               mq_scan_turn(turns->items[i].name));
    putchar('\n');
}

static void print_facts(const mq_scan *scan) {
    char a[32], b[32];
    const mq_scan_sizes *s = &scan->sizes, *x = &scan->boxes;
    printf("classes   %zu, of %s to %s pictures", mq_dataset_classes(scan->dataset),
           mq_text_count(scan->smallest, a), mq_text_count(scan->largest, b));
    if (scan->smallest) printf(" (%.1f : 1)", (double)scan->largest / (double)scan->smallest);
    if (scan->small) printf("; %s of fewer than %d", mq_text_count(scan->small, a), MQ_SMALL_CLASS);
    putchar('\n');
    if (s->count)
        printf("sizes     %u x %u in the middle, width %u to %u, height %u to %u\n", s->width[2],
               s->height[2], s->width[0], s->width[4], s->height[0], s->height[4]);
    if (x->count)
        printf("boxes     %s, %u x %u in the middle, width %u to %u, height %u to %u\n",
               mq_text_count(x->count, a), x->width[2], x->height[2], x->width[0], x->width[4], x->height[0],
               x->height[4]);
    print_tallies("formats  ", &scan->formats);
    print_tallies("colours  ", &scan->colours);
    print_turns(&scan->orientations);
    if (scan->left_out_count)
        printf("left out  %s at import: %s/quarantine.csv\n", mq_text_count(scan->left_out_count, a),
               mq_dataset_folder(scan->dataset));
}

/* Why no network was asked, of pictures of that side. */
static void print_unconfirmed(uint32_t side) {
    fputs("near copies were not confirmed by a network, so only the very near are told; ", stdout);
    if (side < mq_arch_find(NETWORK)->imgsz_min)
        printf("pictures of %u pixels are too small for %s\n", side, NETWORK);
    else
        printf("fetch one: marque pull %s\n", NETWORK);
}

static void print_text(const mq_scan *scan, uint32_t side) {
    char a[32], b[32];
    const mq_duplicates *d = &scan->duplicates;
    print_groups(scan, "across train, val and test (leaks)", scan->leaks, true, false);
    print_groups(scan, "across classes (one label is wrong)", scan->conflicts, false, true);
    print_groups(scan, "within a class", scan->copies, false, false);
    print_flaws(scan);
    printf("%s pictures, %s of them flagged\n", mq_text_count(scan->pictures, a),
           mq_text_count(scan->flagged, b));
    print_facts(scan);
    if (!d->complete) puts("so many pictures look alike that not all pairs were compared");
    if (!scan->confirmed) print_unconfirmed(side);
}

/* The weights of the network that confirms; without them, and where pictures are stored too small for it, the
 * scan goes on. */
static mq_status open_network(mq_err *err, const mq_arch *arch, uint32_t side, mq_bundle **weights) {
    mq_err missing = {0};
    if (side < arch->imgsz_min) return MQ_OK;
    const mq_status status = mq_open_weights(&missing, arch, weights);
    return status == MQ_OK || status == MQ_NO_INPUT ? MQ_OK : mq_fail(err, status, "%s", missing.text);
}

static mq_status check_strict(mq_err *err, const mq_scan *scan) {
    if (!scan->leaks && !scan->conflicts && !scan->flaws[MQ_FLAW_CORRUPT]) return MQ_OK;
    return mq_fail(err, MQ_BAD_DATA,
                   "%s: %zu groups of copies across train, val and test, %zu across classes, %zu corrupt "
                   "pictures (--strict)",
                   mq_dataset_folder(scan->dataset), scan->leaks, scan->conflicts,
                   scan->flaws[MQ_FLAW_CORRUPT]);
}

static mq_status add_to_file(mq_err *err, void *user, const void *data, size_t size) {
    return mq_writer_add(err, user, data, size);
}

/* What cannot be written is told at the program's end, as of all that is printed. */
static mq_status add_to_output(mq_err *err, void *user, const void *data, size_t size) {
    (void)err, (void)user;
    fwrite(data, 1, size, stdout);
    return MQ_OK;
}

/* The same report twice: for programs and for people; folder is there. */
static mq_status write_files(mq_err *err, const char *folder, const mq_scan *scan, const mq_recipe *recipe) {
    mq_status status = MQ_OK;
    char *data = NULL, *html = NULL;
    mq_writer *file = NULL;
    mq_buf page = mq_buf_init(PAGE_MAX);
    MQ_TRY(mq_path_join(err, folder, "scan.json", &data));
    MQ_TRY(mq_path_join(err, folder, "scan.html", &html));
    MQ_TRY(mq_writer_open(err, data, &file));
    MQ_TRY(mq_scan_to_json(err, scan, add_to_file, file));
    MQ_TRY(mq_writer_commit(err, &file));
    MQ_TRY(mq_scan_to_page(err, scan, recipe, &page));
    MQ_TRY(mq_file_write(err, html, page.data, page.size));
cleanup:
    mq_writer_abort(&file);
    mq_buf_free(&page);
    free(data);
    free(html);
    return status;
}

/* Nothing but another import brings a damaged record back, and clean does not go past one; nor does it work
 * on pictures that are stored smaller than the network takes. */
static void print_next(const mq_scan *scan, const mq_dataset *dataset, const mq_arch *arch) {
    const char *data = mq_dataset_folder(dataset);
    const uint32_t presize = mq_dataset_presize(dataset);
    if (scan->flaws[MQ_FLAW_CORRUPT])
        printf("next: import the pictures again, to another folder: what is corrupt in %s cannot be mended\n",
               data);
    else if (!presize)
        printf("next: marque clean %s\n", mq_text_word(data, &(mq_word){0}));
    else if (presize >= arch->imgsz_min)
        printf("next: marque clean %s --imgsz %u\n", mq_text_word(data, &(mq_word){0}), presize);
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const scan_options *o = call->options;
    mq_dataset *dataset = NULL;
    mq_bundle *weights = NULL;
    mq_viewer *viewer = NULL;
    mq_scan scan = {0};
    mq_dtype dtype;
    const mq_arch *arch = mq_arch_find(NETWORK);
    MQ_TRY(mq_choose_dtype(err, o->dtype, &dtype));
    const size_t workers = mq_choose_threads(o->threads, o->workers);
    MQ_TRY(mq_dataset_open(err, call->args[0], &dataset));
    if (o->output) MQ_TRY(mq_make_folder(err, o->output)); /* before minutes of work */
    const uint32_t presize = mq_dataset_presize(dataset), side = presize ? presize : arch->imgsz;
    MQ_TRY(open_network(err, arch, side, &weights));
    mq_recipe recipe = mq_recipe_default(side, arch->range);
    mq_dataset_recipe(dataset, &recipe);
    const mq_viewer_plan view = {sizeof view, arch, weights, &recipe, dtype, workers};
    if (weights) MQ_TRY(mq_viewer_open(err, &view, &viewer));
    const mq_scan_plan plan = {.size = sizeof plan,
                               .dataset = dataset,
                               .recipe = &recipe,
                               .viewer = viewer,
                               .workers = workers,
                               .stop = mq_stop_wanted,
                               .progress = tell};
    MQ_TRY(mq_scan_run(err, &plan, &scan));
    if (o->output) MQ_TRY(write_files(err, o->output, &scan, &recipe));
    if (o->json) {
        MQ_TRY(mq_scan_to_json(err, &scan, add_to_output, NULL));
    } else {
        print_text(&scan, side);
        if (o->output) printf("report: %s/scan.html\n", o->output);
        print_next(&scan, dataset, arch);
    }
    if (o->strict) MQ_TRY(check_strict(err, &scan));
cleanup:
    mq_scan_free(&scan);
    mq_viewer_free(&viewer);
    mq_bundle_free(&weights);
    mq_dataset_free(&dataset);
    return status;
}

const mq_command mq_cmd_scan = {
    .name = "scan",
    .usage = "DATA [options]",
    .summary = "report copies, leaks and bad pictures of a data set",
    .params = params,
    .options_size = sizeof(scan_options),
    .args_min = 1,
    .args_max = 1,
    .examples = "  marque scan cars.mq\n"
                "  marque scan cars.mq -o report\n"
                "  marque scan cars.mq --strict --json\n",
    .run = run,
};
