/* scan_page.c: the scan as a page. Called by `marque scan`. Owns the scratch
 * memory of a thumbnail. Invariant: all text that comes from outside passes
 * add_text, and the page's policy forbids it to load or run anything. */
#include "curate/scan_page.h"
#include "base/base64.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/encode.h"
#include "data/prepare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    RECORD_MAX = 1 << 30,
    THUMB = 128, /* pixels a side */
    THUMB_QUALITY = 75,
    GROUPS_SHOWN = 60, /* of each kind */
    MEMBERS_SHOWN = 8,
    FLAWED_SHOWN = 36,
    CLASSES_SHOWN = 300,
    REASONS_SHOWN = 40,
};

typedef struct {
    const mq_scan *scan;
    mq_recipe recipe; /* of thumbnails */
    mq_buf *out;
    mq_buf record, jpeg;
    float *pixels; /* [THUMB, THUMB, 3] */
    uint8_t *rgb;  /* the same in bytes */
} page;

static const char HEAD[] =
    "<!doctype html><html lang=en><meta charset=utf-8>"
    "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; img-src data:; style-src "
    "'unsafe-inline'\"><meta name=viewport content=\"width=device-width\"><title>marque scan</title><style>"
    ":root{color-scheme:light dark;--line:#8884;--soft:#8882;--bad:#c0392b;--dim:#777}"
    "@media(prefers-color-scheme:dark){:root{--bad:#ff8a7a;--dim:#aaa}}"
    "body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;padding:1.5rem;max-width:76rem}"
    "h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .3rem}p{margin:.3rem 0 .8rem}"
    ".dim{color:var(--dim)}nav{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}"
    "nav a{border:1px solid var(--line);border-radius:.5rem;padding:.4rem .8rem;text-decoration:none;"
    "color:inherit}nav b{font-size:1.2rem;display:block}nav .bad b{color:var(--bad)}"
    ".set{display:flex;flex-wrap:wrap;gap:.7rem;border:1px solid var(--line);border-radius:.5rem;"
    "padding:.7rem;margin:.6rem 0}.group>p{flex-basis:100%;margin:0}"
    "figure{margin:0;width:128px;font-size:.78rem;line-height:1.25;overflow-wrap:anywhere}"
    "figure img,figure i{width:128px;height:128px;display:block;background:var(--soft);border-radius:.25rem}"
    "table{border-collapse:collapse}td,th{padding:.15rem .9rem .15rem 0;text-align:right;"
    "font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left}"
    ".bar{display:inline-block;height:.7rem;background:#4a7dbd;border-radius:2px}"
    "td:last-child{text-align:left}</style>";

/* Text of any bytes, for between tags and in quoted attributes. */
static mq_status add_text(mq_err *err, page *p, const char *text) {
    mq_status status = MQ_OK;
    char *safe = mq_text_utf8(text);
    MQ_REQUIRE(safe, err, MQ_NO_MEMORY, "no memory for a name");
    for (const char *c = safe; *c; c++) {
        const char *entity = *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : *c == '&' ? "&amp;" : NULL;
        if (*c == '"') entity = "&quot;";
        if ((uint8_t)*c < ' ') entity = "?";
        if (entity)
            MQ_TRY(mq_buf_add_text(err, p->out, entity));
        else
            MQ_TRY(mq_buf_add(err, p->out, c, 1));
    }
cleanup:
    free(safe);
    return status;
}

/* The picture as the network sees it, in its own proportions on a grey square; nothing where it is corrupt.
 */
static mq_status add_thumb(mq_err *err, page *p, const mq_sample *sample) {
    mq_status status = MQ_OK;
    mq_err own = {0};
    const mq_encoded in = {sample->name, sample->bytes, sample->size};
    if (!sample->bytes ||
        mq_prepare(&own, &p->recipe, &in, sample->has_box ? &sample->box : NULL, false, p->pixels) != MQ_OK)
        return mq_buf_add_text(err, p->out, "<i></i>");
    for (size_t i = 0; i < THUMB * THUMB * 3; i++) p->rgb[i] = (uint8_t)lroundf(255 * p->pixels[i]);
    const mq_pixels pixels = {p->rgb, THUMB, THUMB};
    MQ_TRY(mq_jpeg_encode(err, mq_view_of(&pixels), (mq_jpeg_style){.quality = THUMB_QUALITY}, &p->jpeg));
    MQ_TRY(mq_buf_add_text(err, p->out, "<img alt=\"\" src=\"data:image/jpeg;base64,"));
    MQ_TRY(mq_base64_add(err, p->out, p->jpeg.data, p->jpeg.size));
    MQ_TRY(mq_buf_add_text(err, p->out, "\">"));
cleanup:
    return status;
}

/* Thumbnail, name, class and part; note is markup of our own below them, NULL: none. */
static mq_status add_figure(mq_err *err, page *p, uint32_t picture, const char *note) {
    mq_status status = MQ_OK;
    mq_sample sample;
    size_t index;
    const mq_split split = mq_picture_place(p->scan->dataset, picture, &index);
    mq_scan_sample(p->scan, picture, &p->record, &sample);
    MQ_TRY(mq_buf_add_text(err, p->out, "<figure>"));
    MQ_TRY(add_thumb(err, p, &sample));
    MQ_TRY(mq_buf_add_text(err, p->out, "<figcaption>"));
    MQ_TRY(add_text(err, p, sample.name));
    MQ_TRY(mq_buf_printf(err, p->out, "<br><b>%s</b> <span class=dim>", mq_split_name(split)));
    MQ_TRY(add_text(err, p, mq_dataset_class(p->scan->dataset, sample.label)));
    MQ_TRY(mq_buf_add_text(err, p->out, "</span>"));
    if (note) MQ_TRY(mq_buf_printf(err, p->out, "<br>%s", note));
    MQ_TRY(mq_buf_add_text(err, p->out, "</figcaption></figure>"));
cleanup:
    return status;
}

static mq_status add_more(mq_err *err, page *p, size_t shown, size_t count) {
    char number[32];
    if (shown >= count) return MQ_OK;
    return mq_buf_printf(err, p->out, "<p class=dim>and %s more (scan.json lists all)</p>",
                         mq_text_count(count - shown, number));
}

/* A kind of groups of copies. */
typedef struct {
    const char *id, *title, *advice;
    bool leak, conflict;
} group_kind;

static const group_kind GROUPS[] = {
    {"leaks", "Copies across train, val and test",
     "What is measured on a copy of a training picture is too good. Keep one part's picture.", true, false},
    {"conflicts", "Copies across classes", "One picture, two labels: at least one of them is wrong.", false,
     true},
    {"copies", "Copies within a class", "They count twice in training and teach nothing new.", false, false},
};

static bool is_of(const group_kind *kind, const mq_duplicate_group *g) {
    return kind->leak ? g->leak : kind->conflict ? g->conflict : !g->leak && !g->conflict;
}

static size_t count_of(const mq_scan *scan, const group_kind *kind) {
    return kind->leak ? scan->leaks : kind->conflict ? scan->conflicts : scan->copies;
}

static mq_status add_group(mq_err *err, page *p, const mq_duplicate_group *g) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_printf(err, p->out, "<div class=\"set group\"><p>%zu pictures: ", g->count));
    if (g->exact)
        MQ_TRY(mq_buf_add_text(err, p->out, "the same bytes"));
    else
        MQ_TRY(mq_buf_printf(err, p->out, "nearly the same%s <span class=dim>(%u of 64 bits differ",
                             g->mirrored ? ", mirrored" : "", g->distance));
    if (!isnan(g->cosine)) MQ_TRY(mq_buf_printf(err, p->out, ", features alike to %.3f", (double)g->cosine));
    if (!g->exact) MQ_TRY(mq_buf_printf(err, p->out, "%s)</span>", g->confirmed ? "" : ", not confirmed"));
    MQ_TRY(mq_buf_add_text(err, p->out, "</p>"));
    for (size_t i = 0; i < g->count && i < MEMBERS_SHOWN; i++)
        MQ_TRY(add_figure(err, p, g->pictures[i], NULL));
    MQ_TRY(add_more(err, p, MEMBERS_SHOWN, g->count));
    MQ_TRY(mq_buf_add_text(err, p->out, "</div>"));
cleanup:
    return status;
}

static mq_status add_groups(mq_err *err, page *p, const group_kind *kind) {
    mq_status status = MQ_OK;
    const mq_duplicates *d = &p->scan->duplicates;
    const size_t count = count_of(p->scan, kind);
    size_t shown = 0;
    if (!count) return MQ_OK;
    MQ_TRY(mq_buf_printf(err, p->out, "<h2 id=%s>%s: %zu %s</h2><p>%s</p>", kind->id, kind->title, count,
                         count == 1 ? "group" : "groups", kind->advice));
    for (size_t i = 0; i < d->count && shown < GROUPS_SHOWN; i++)
        if (is_of(kind, &d->groups[i])) {
            MQ_TRY(add_group(err, p, &d->groups[i]));
            shown++;
        }
    MQ_TRY(add_more(err, p, shown, count));
cleanup:
    return status;
}

static const mq_scan_problem *problem_of(const mq_scan *scan, size_t picture) {
    for (size_t i = 0; i < scan->problem_count; i++)
        if (scan->problems[i].picture == picture) return &scan->problems[i];
    return NULL;
}

/* The worst pictures with one flaw, and the bound that they pass. */
static mq_status add_flaw(mq_err *err, page *p, mq_flaw flaw) {
    mq_status status = MQ_OK;
    const mq_scan *scan = p->scan;
    const mq_flaw_text *text = mq_flaw_name(flaw);
    const float below = scan->limits.below[flaw], above = scan->limits.above[flaw];
    uint32_t worst[FLAWED_SHOWN];
    const size_t shown = mq_scan_worst(scan, flaw, worst, FLAWED_SHOWN);
    char note[64];
    if (!scan->flaws[flaw]) return MQ_OK;
    MQ_TRY(mq_buf_printf(err, p->out, "<h2 id=%s>%s: %zu %s</h2><p>%s", text->word, text->word,
                         scan->flaws[flaw], scan->flaws[flaw] == 1 ? "picture" : "pictures", text->means));
    if (text->measure < MQ_MEASURES)
        MQ_TRY(mq_buf_printf(err, p->out, " (%s", mq_measure_name(text->measure)));
    if (!isnan(below)) MQ_TRY(mq_buf_printf(err, p->out, " below %.4g", (double)below));
    if (!isnan(below) && !isnan(above)) MQ_TRY(mq_buf_add_text(err, p->out, " or"));
    if (!isnan(above)) MQ_TRY(mq_buf_printf(err, p->out, " above %.4g", (double)above));
    MQ_TRY(mq_buf_printf(err, p->out, "%s</p><div class=set>", text->measure < MQ_MEASURES ? ")" : ""));
    for (size_t i = 0; i < shown; i++) {
        const mq_scan_row *row = &scan->rows[worst[i]];
        note[0] = 0;
        if (text->measure < MQ_MEASURES)
            snprintf(note, sizeof note, "%.4g <span class=dim>%u x %u</span>",
                     (double)row->measures[text->measure], row->width, row->height);
        MQ_TRY(add_figure(err, p, worst[i], note));
        const mq_scan_problem *problem = flaw == MQ_FLAW_CORRUPT ? problem_of(scan, worst[i]) : NULL;
        if (problem) MQ_TRY(add_text(err, p, problem->text));
    }
    MQ_TRY(mq_buf_add_text(err, p->out, "</div>"));
    MQ_TRY(add_more(err, p, shown, scan->flaws[flaw]));
cleanup:
    return status;
}

/* words (NULL: none) says a name in words. */
static mq_status add_tally(mq_err *err, page *p, const char *title, const mq_tallies *tallies,
                           const char *(*words)(const char *name)) {
    mq_status status = MQ_OK;
    char number[32];
    for (size_t i = 0; i < tallies->count && i < REASONS_SHOWN; i++) {
        MQ_TRY(mq_buf_printf(err, p->out, "<tr><td>%s<td>", i ? "" : title));
        MQ_TRY(mq_buf_printf(err, p->out, "%s<td>", mq_text_count(tallies->items[i].count, number)));
        MQ_TRY(add_text(err, p, words ? words(tallies->items[i].name) : tallies->items[i].name));
    }
    if (tallies->count > REASONS_SHOWN)
        MQ_TRY(
            mq_buf_printf(err, p->out, "<tr><td><td><td>and %zu more kinds", tallies->count - REASONS_SHOWN));
cleanup:
    return status;
}

static mq_status add_sides(mq_err *err, page *p, const char *title, const mq_scan_sizes *sizes) {
    mq_status status = MQ_OK;
    for (int height = 0; height < 2; height++) {
        const uint32_t *q = height ? sizes->height : sizes->width;
        if (sizes->count)
            MQ_TRY(mq_buf_printf(err, p->out, "<tr><td>%s, %s<td>%u<td>%u<td>%u<td>%u<td>%u", title,
                                 height ? "height" : "width", q[0], q[1], q[2], q[3], q[4]));
    }
cleanup:
    return status;
}

static mq_status add_facts(mq_err *err, page *p) {
    mq_status status = MQ_OK;
    const mq_scan *scan = p->scan;
    MQ_TRY(
        mq_buf_add_text(err, p->out,
                        "<h2 id=sizes>Sizes in pixels</h2><table><tr><th><th>smallest<th>5 %<th>middle<th>95 "
                        "%<th>largest"));
    MQ_TRY(add_sides(err, p, "pictures", &scan->sizes));
    MQ_TRY(add_sides(err, p, "boxes", &scan->boxes));
    MQ_TRY(mq_buf_add_text(err, p->out, "</table><h2>Formats</h2><table>"));
    MQ_TRY(add_tally(err, p, "format", &scan->formats, NULL));
    MQ_TRY(add_tally(err, p, "colours", &scan->colours, NULL));
    MQ_TRY(add_tally(err, p, "turned as EXIF asks", &scan->orientations, mq_scan_turn));
    MQ_TRY(add_tally(err, p, "left out at import", &scan->left_out, NULL));
    MQ_TRY(mq_buf_add_text(err, p->out, "</table>"));
cleanup:
    return status;
}

static mq_status add_classes(mq_err *err, page *p) {
    mq_status status = MQ_OK;
    const mq_scan *scan = p->scan;
    const size_t classes = mq_dataset_classes(scan->dataset);
    MQ_TRY(mq_buf_printf(err, p->out,
                         "<h2 id=classes>Classes: %zu, of %zu to %zu pictures</h2><table><tr><th>class<th>"
                         "train<th>val<th>test<th>",
                         classes, scan->smallest, scan->largest));
    for (size_t c = 0; c < classes && c < CLASSES_SHOWN; c++) {
        const size_t *count = scan->balance + c * MQ_SPLITS, all = count[0] + count[1] + count[2];
        MQ_TRY(mq_buf_add_text(err, p->out, "<tr><td>"));
        MQ_TRY(add_text(err, p, mq_dataset_class(scan->dataset, c)));
        MQ_TRY(mq_buf_printf(
            err, p->out, "<td>%zu<td>%zu<td>%zu<td><span class=bar style=\"width:%.1frem\"></span>%s",
            count[0], count[1], count[2], 20 * (double)all / (double)(scan->largest ? scan->largest : 1),
            all < MQ_SMALL_CLASS ? " few" : ""));
    }
    MQ_TRY(mq_buf_add_text(err, p->out, "</table>"));
    MQ_TRY(add_more(err, p, CLASSES_SHOWN, classes));
cleanup:
    return status;
}

/* A number that leads to what it counts. */
static mq_status add_link(mq_err *err, page *p, const char *id, size_t count, bool bad) {
    char number[32];
    if (!count) return MQ_OK;
    return mq_buf_printf(err, p->out, "<a href=\"#%s\"%s><b>%s</b>%s</a>", id, bad ? " class=bad" : "",
                         mq_text_count(count, number), id);
}

static mq_status add_summary(mq_err *err, page *p) {
    mq_status status = MQ_OK;
    const mq_scan *scan = p->scan;
    char number[32];
    MQ_TRY(mq_buf_add_text(err, p->out, HEAD));
    MQ_TRY(mq_buf_add_text(err, p->out, "<h1>"));
    MQ_TRY(add_text(err, p, mq_dataset_folder(scan->dataset)));
    MQ_TRY(mq_buf_printf(
        err, p->out, "</h1><p class=dim>%s pictures, %zu classes; made by marque %s</p><nav>",
        mq_text_count(scan->pictures, number), mq_dataset_classes(scan->dataset), mq_version()));
    for (size_t i = 0; i < sizeof GROUPS / sizeof *GROUPS; i++)
        MQ_TRY(add_link(err, p, GROUPS[i].id, count_of(scan, &GROUPS[i]), i < 2));
    for (unsigned flaw = 0; flaw < MQ_FLAWS; flaw++)
        MQ_TRY(
            add_link(err, p, mq_flaw_name((mq_flaw)flaw)->word, scan->flaws[flaw], flaw == MQ_FLAW_CORRUPT));
    MQ_TRY(add_link(err, p, "classes", mq_dataset_classes(scan->dataset), false));
    MQ_TRY(mq_buf_add_text(err, p->out, "</nav>"));
    if (!scan->confirmed)
        MQ_TRY(mq_buf_add_text(err, p->out,
                               "<p>Near copies were not confirmed by a network, so only the very near are "
                               "shown; <code>marque pull xception</code> fetches one.</p>"));
cleanup:
    return status;
}

static mq_status add_all(mq_err *err, page *p) {
    mq_status status = MQ_OK;
    MQ_TRY(add_summary(err, p));
    for (size_t i = 0; i < sizeof GROUPS / sizeof *GROUPS; i++) MQ_TRY(add_groups(err, p, &GROUPS[i]));
    for (unsigned flaw = 0; flaw < MQ_FLAWS; flaw++) MQ_TRY(add_flaw(err, p, (mq_flaw)flaw));
    MQ_TRY(add_facts(err, p));
    MQ_TRY(add_classes(err, p));
    MQ_TRY(mq_buf_add_text(err, p->out, "</html>\n"));
cleanup:
    return status;
}

mq_status mq_scan_to_page(mq_err *err, const mq_scan *scan, const mq_recipe *recipe, mq_buf *out) {
    mq_status status = MQ_OK;
    page p = {.scan = scan, .out = out, .recipe = mq_recipe_default(THUMB, MQ_RANGE_UNIT)};
    p.recipe.crop = recipe->crop;
    p.recipe.margin = recipe->margin;
    p.recipe.fit = MQ_FIT_PAD;
    memset(p.recipe.background, 0xee, sizeof p.recipe.background);
    p.record = mq_buf_init(RECORD_MAX);
    p.jpeg = mq_buf_init(1 << 20);
    MQ_TRY(mq_calloc(err, THUMB * THUMB * 3, sizeof *p.pixels, "a thumbnail", &p.pixels));
    MQ_TRY(mq_calloc(err, THUMB * THUMB * 3, 1, "a thumbnail", &p.rgb));
    MQ_TRY(add_all(err, &p));
cleanup:
    mq_buf_free(&p.record);
    mq_buf_free(&p.jpeg);
    free(p.pixels);
    free(p.rgb);
    return status;
}
