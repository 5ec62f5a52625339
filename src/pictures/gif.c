/* gif.c: the first picture of a GIF through giflib, the one file that knows it.
 * Called through the table in reader.c. Owns the open file. Invariant: the rest of
 * an animation is never decoded, and sizes are checked before memory is taken. */
#include "base/mem.h"
#include "pictures/reader.h"

#include <string.h>

#include <gif_lib.h>

typedef struct {
    const mq_source *in;
    size_t at;
} cursor;

static bool knows(const uint8_t *bytes, size_t size) {
    return size >= 6 && (memcmp(bytes, "GIF87a", 6) == 0 || memcmp(bytes, "GIF89a", 6) == 0);
}

static int take_bytes(GifFileType *gif, GifByteType *out, int count) {
    cursor *c = gif->UserData;
    const size_t left = c->in->size - c->at, wanted = count > 0 ? (size_t)count : 0;
    const size_t n = wanted < left ? wanted : left;
    memcpy(out, c->in->bytes + c->at, n);
    c->at += n;
    return (int)n;
}

static mq_status say_failure(mq_err *err, const mq_source *in, int code) {
    const char *text = GifErrorString(code);
    return mq_fail(err, MQ_BAD_DATA, "%s: damaged GIF (%s); convert it to PNG", in->name,
                   text ? text : "it cannot be decoded");
}

/* Goes to the next picture and keeps its transparent colour; *found is false at the end. */
static mq_status next_picture(mq_err *err, const mq_source *in, GifFileType *gif, int *transparent,
                              bool *found) {
    mq_status status = MQ_OK;
    GifRecordType type = UNDEFINED_RECORD_TYPE;
    *found = false;
    while (type != TERMINATE_RECORD_TYPE && !*found) {
        int code = 0;
        GifByteType *block = NULL;
        if (DGifGetRecordType(gif, &type) == GIF_ERROR) MQ_TRY(say_failure(err, in, gif->Error));
        *found = type == IMAGE_DESC_RECORD_TYPE;
        if (type != EXTENSION_RECORD_TYPE) continue;
        if (DGifGetExtension(gif, &code, &block) == GIF_ERROR) MQ_TRY(say_failure(err, in, gif->Error));
        GraphicsControlBlock control;
        if (code == GRAPHICS_EXT_FUNC_CODE && block &&
            DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
            *transparent = control.TransparentColor;
        while (block)
            if (DGifGetExtensionNext(gif, &block) == GIF_ERROR) MQ_TRY(say_failure(err, in, gif->Error));
    }
cleanup:
    return status;
}

/* The row of the picture that comes i-th in the file (GIF89a, appendix E). */
static size_t row_of(size_t i, size_t height, bool interlaced) {
    static const size_t first[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
    if (!interlaced) return i;
    for (int pass = 0; pass < 4; pass++) {
        const size_t rows = height > first[pass] ? (height - first[pass] + step[pass] - 1) / step[pass] : 0;
        if (i < rows) return first[pass] + i * step[pass];
        i -= rows;
    }
    return height - 1;
}

/* Draws the picture where it stands on the screen; what lies around it stays transparent. */
static mq_status draw(mq_err *err, const mq_source *in, GifFileType *gif, int transparent, uint8_t *rgba) {
    mq_status status = MQ_OK;
    const GifImageDesc *image = &gif->Image;
    const ColorMapObject *map = image->ColorMap ? image->ColorMap : gif->SColorMap;
    const size_t width = (size_t)image->Width, height = (size_t)image->Height, screen = (size_t)gif->SWidth;
    GifPixelType *line = NULL;
    MQ_TRY(mq_calloc(err, width, sizeof *line, "a row of a picture", &line));
    MQ_REQUIRE(map, err, MQ_BAD_DATA, "%s: a GIF without colours; convert it to PNG", in->name);
    for (size_t i = 0; i < height; i++) {
        if (DGifGetLine(gif, line, image->Width) == GIF_ERROR) MQ_TRY(say_failure(err, in, gif->Error));
        const size_t y = (size_t)image->Top + row_of(i, height, image->Interlace);
        for (size_t x = 0; x < width; x++) {
            if (line[x] >= map->ColorCount || line[x] == transparent) continue;
            const GifColorType c = map->Colors[line[x]];
            memcpy(rgba + (y * screen + (size_t)image->Left + x) * 4,
                   (uint8_t[4]){c.Red, c.Green, c.Blue, 255}, 4);
        }
    }
cleanup:
    free(line);
    return status;
}

/* Goes behind a picture without decoding it. */
static mq_status pass_over(mq_err *err, const mq_source *in, GifFileType *gif) {
    mq_status status = MQ_OK;
    int size = 0;
    GifByteType *block = NULL;
    if (DGifGetCode(gif, &size, &block) == GIF_ERROR) MQ_TRY(say_failure(err, in, gif->Error));
    while (block)
        if (DGifGetCodeNext(gif, &block) == GIF_ERROR) MQ_TRY(say_failure(err, in, gif->Error));
cleanup:
    return status;
}

static mq_status read_gif(mq_err *err, const mq_source *in, mq_foreign_head *head, uint8_t **pixels) {
    mq_status status = MQ_OK;
    cursor c = {in, 0};
    int failed = 0, transparent = -1, ignored = -1;
    bool found = false, more = false;
    GifFileType *gif = DGifOpen(&c, take_bytes, &failed);
    if (!gif) MQ_TRY(say_failure(err, in, failed));
    MQ_TRY(mq_check_size(err, in, (uint64_t)gif->SWidth, (uint64_t)gif->SHeight));
    MQ_TRY(next_picture(err, in, gif, &transparent, &found));
    MQ_REQUIRE(found, err, MQ_BAD_DATA, "%s: a GIF without a picture", in->name);
    if (DGifGetImageDesc(gif) == GIF_ERROR) MQ_TRY(say_failure(err, in, gif->Error));
    const GifImageDesc *image = &gif->Image;
    MQ_REQUIRE(image->Left >= 0 && image->Top >= 0 && image->Width > 0 && image->Height > 0 &&
                   image->Left + image->Width <= gif->SWidth && image->Top + image->Height <= gif->SHeight,
               err, MQ_BAD_DATA, "%s: a GIF whose picture lies outside its screen; convert it to PNG",
               in->name);
    *head = (mq_foreign_head){MQ_GIF, (uint32_t)gif->SWidth, (uint32_t)gif->SHeight, 4, 0};
    if (pixels) {
        MQ_TRY(mq_take_memory(err, in, head, pixels));
        MQ_TRY(draw(err, in, gif, transparent, *pixels));
    } else {
        MQ_TRY(pass_over(err, in, gif));
    }
    MQ_TRY(next_picture(err, in, gif, &ignored, &more));
    head->more = more;
cleanup:
    if (gif) (void)DGifCloseFile(gif, &failed);
    return status;
}

const mq_reader mq_reader_gif = {knows, read_gif};
