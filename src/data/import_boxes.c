/* import_boxes.c: boxes against the pictures they are of. Called by import.c once
 * pictures are checked, and by import_rows.c. Owns nothing. Invariant: behind it
 * every box lies inside its picture, in pixels of the file as it is stored. */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"
#include "data/picture.h"
#include "data/tfrecord.h"

enum { ROWS_SHOWN = 3, EDGE = 2 /* pixels a box may stick out */, SAMPLE = 32 };

static bool lies_in(const mq_box *box, uint32_t width, uint32_t height, int64_t by) {
    return box->x1 >= -by && box->y1 >= -by && box->x2 <= (int64_t)width + by &&
           box->y2 <= (int64_t)height + by;
}

/* Boxes of which annotations tell what size of picture they were drawn on. A size that does not hold its box
 * tells nothing: programs write 0, or the box's own. Where it is that of the picture turned a quarter as its
 * EXIF orientation says, the box was drawn on the turned one and is turned back. Of another size people are
 * told; the box may be right all the same. */
static mq_status compare_sizes(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    size_t differ = 0;
    mq_buf shown = mq_buf_init(MQ_WRONG_SHOWN);
    char safe[256];
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *e = &job->manifest.entries[i];
        const uint32_t width = e->drawn_width, height = e->drawn_height;
        if (e->reason || !e->has_box || !width || !height || !lies_in(&e->box, width, height, EDGE)) continue;
        if (width == e->width && height == e->height) continue;
        if (width == e->height && height == e->width && e->orientation >= 5) {
            e->box = mq_box_unorient(e->box, e->width, e->height, e->orientation);
            job->report->turned++;
        } else if (differ++ < ROWS_SHOWN)
            MQ_TRY(mq_buf_printf(err, &shown, "%s%s is %u x %u, annotated as %u x %u", differ > 1 ? ", " : "",
                                 mq_text_safe(e->name, safe, sizeof safe), e->width, e->height, width,
                                 height));
    }
    if (differ)
        mq_warn("%s: %zu %s drawn on a picture of another size, and taken as %s: %s%s; look at some "
                "(marque inspect)",
                job->plan->source, differ, differ == 1 ? "box was" : "boxes were",
                differ == 1 ? "it is" : "they are", (char *)shown.data, differ > ROWS_SHOWN ? ", ..." : "");
cleanup:
    mq_buf_free(&shown);
    return status;
}

/* Cuts what sticks out by less than the tolerance; false when nothing is left. */
static bool trim(mq_entry *e) {
    const int32_t w = (int32_t)e->width, h = (int32_t)e->height;
    if (e->box.x1 < 0) e->box.x1 = 0;
    if (e->box.y1 < 0) e->box.y1 = 0;
    if (e->box.x2 > w) e->box.x2 = w;
    if (e->box.y2 > h) e->box.y2 = h;
    return e->box.x1 < e->box.x2 && e->box.y1 < e->box.y2;
}

static mq_status report_boxes(mq_err *err, const mq_import_job *job, size_t boxes, size_t outside, size_t cut,
                              const char *shown) {
    if (cut * 2 > boxes)
        return mq_fail(
            err, MQ_BAD_DATA,
            "%s: %zu of %zu boxes lie outside their pictures, and %zu pictures are exactly as large "
            "as their boxes: they are already cut; import them with --boxes ignore",
            job->plan->source, outside, boxes, cut);
    return mq_fail(err, MQ_BAD_DATA,
                   "%s: %zu of %zu boxes lie more than %d pixels outside their pictures: %s%s; correct the "
                   "annotations, or take --boxes ignore",
                   job->plan->source, outside, boxes, EDGE, shown, outside > ROWS_SHOWN ? ", ..." : "");
}

static bool is_cut(const mq_entry *e, uint32_t width, uint32_t height) {
    return (int64_t)e->box.x2 - e->box.x1 == width && (int64_t)e->box.y2 - e->box.y1 == height;
}

mq_status mq_import_are_cut(mq_err *err, const mq_import_job *job, bool *cut) {
    mq_status status = MQ_OK;
    const mq_manifest *m = &job->manifest;
    const size_t step = m->count / SAMPLE + 1;
    mq_buf file = mq_buf_init(MQ_TFRECORD_MAX);
    char *path = NULL;
    size_t asked = 0, found = 0;
    for (size_t i = 0; i < m->count; i += step) {
        const mq_entry *e = &m->entries[i];
        mq_err ignored = {0};
        mq_picture_info info;
        if (e->reason || !e->has_box) continue;
        MQ_TRY(mq_import_go_on(err, job));
        free(path);
        path = NULL;
        if (mq_import_read(&ignored, job, e, &file, &path) != MQ_OK ||
            mq_picture_probe(&ignored, path, file.data ? file.data : (const uint8_t *)"", file.size, &info) !=
                MQ_OK)
            continue;
        asked++;
        found += is_cut(e, info.width, info.height);
    }
    *cut = found * 2 > asked;
cleanup:
    mq_buf_free(&file);
    free(path);
    return status;
}

mq_status mq_import_check_boxes(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    size_t boxes = 0, outside = 0, cut = 0;
    mq_buf shown = mq_buf_init(1024);
    char safe[256];
    MQ_TRY(compare_sizes(err, job));
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *e = &job->manifest.entries[i];
        if (e->reason || !e->has_box) continue;
        const bool inside = lies_in(&e->box, e->width, e->height, EDGE);
        if (inside && !trim(e)) {
            MQ_TRY(mq_manifest_leave_out(err, e, MQ_NO_PIXEL));
            continue;
        }
        boxes++;
        cut += is_cut(e, e->width, e->height);
        if (inside) continue;
        if (outside++ < ROWS_SHOWN)
            MQ_TRY(mq_buf_printf(err, &shown, "%s%s %zu (%s, %u x %u)", outside > 1 ? ", " : "", job->unit,
                                 e->row, mq_text_safe(e->name, safe, sizeof safe), e->width, e->height));
    }
    job->report->boxes = boxes;
    if (outside) MQ_TRY(report_boxes(err, job, boxes, outside, cut, (char *)shown.data));
cleanup:
    mq_buf_free(&shown);
    return status;
}
