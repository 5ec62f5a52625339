/* decode_webp.c: WebP through libwebp, the one file that knows it. Called
 * through the table in picture.c. Stills and animations go the same way: the
 * demuxer's first frame on a canvas. Invariant: a file shorter than its own
 * header says is refused before anything is decoded, unless it is to be
 * salvaged; then a file that is not is refused. */
#include "base/mem.h"
#include "data/decode.h"
#include "data/exif.h"

#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

enum { RIFF_HEADER = 8 }; /* bytes in front of those that the header counts */

/* An open file. All pointers are into the encoded bytes or the demuxer. */
typedef struct {
    WebPDemuxer *demuxer;
    WebPIterator frame; /* the first */
    uint32_t width, height;
    bool alpha;
} webp_reader;

/* Finds the first frame and checks all that the header says about it. reader must be closed in any case: the
 * library takes NULL and an empty iterator. */
static mq_status open_webp(mq_err *err, const mq_encoded *in, bool salvage, webp_reader *reader) {
    *reader = (webp_reader){0};
    const uint8_t *b = in->bytes;
    const size_t counted = (size_t)b[4] | (size_t)b[5] << 8 | (size_t)b[6] << 16 | (size_t)b[7] << 24;
    const bool cut = counted > in->size - RIFF_HEADER;
    if (salvage && !cut)
        return mq_fail(err, MQ_BAD_DATA, "%s: this WebP is whole; nothing is salvaged of it", in->name);
    if (cut && !salvage)
        return mq_fail(err, MQ_BAD_DATA, "%s: damaged WebP (it is cut short: %zu of %zu bytes); replace it",
                       in->name, in->size, counted + RIFF_HEADER);
    const WebPData data = {in->bytes, in->size};
    reader->demuxer = salvage ? WebPDemuxPartial(&data, NULL) : WebPDemux(&data);
    if (!reader->demuxer || !WebPDemuxGetFrame(reader->demuxer, 1, &reader->frame) ||
        !(reader->frame.complete || salvage))
        return mq_fail(err, MQ_BAD_DATA, "%s: damaged WebP (no whole frame in it); replace it", in->name);
    reader->width = WebPDemuxGetI(reader->demuxer, WEBP_FF_CANVAS_WIDTH);
    reader->height = WebPDemuxGetI(reader->demuxer, WEBP_FF_CANVAS_HEIGHT);
    reader->alpha = reader->frame.has_alpha;
    const WebPIterator *f = &reader->frame;
    const int64_t right = (int64_t)f->x_offset + f->width, bottom = (int64_t)f->y_offset + f->height;
    if (f->x_offset < 0 || f->y_offset < 0 || f->width <= 0 || f->height <= 0 || right > reader->width ||
        bottom > reader->height)
        return mq_fail(err, MQ_BAD_DATA, "%s: damaged WebP (a frame outside its canvas); replace it",
                       in->name);
    return mq_picture_check(err, in->name, reader->width, reader->height);
}

static void close_webp(webp_reader *reader) {
    WebPDemuxReleaseIterator(&reader->frame);
    WebPDemuxDelete(reader->demuxer);
}

static bool webp_knows(const uint8_t *bytes, size_t size) {
    return size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
}

static void describe(const webp_reader *reader, mq_picture_info *info) {
    info->width = reader->width;
    info->height = reader->height;
    info->colour = reader->alpha ? "RGBA" : "RGB";
    info->animated = WebPDemuxGetI(reader->demuxer, WEBP_FF_FRAME_COUNT) > 1;
    WebPChunkIterator chunk;
    if (WebPDemuxGetChunk(reader->demuxer, "EXIF", 1, &chunk))
        info->orientation = mq_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
    WebPDemuxReleaseChunkIterator(&chunk);
}

static mq_status webp_probe(mq_err *err, const mq_encoded *in, mq_picture_info *info) {
    mq_status status = MQ_OK;
    webp_reader reader;
    MQ_TRY(open_webp(err, in, false, &reader));
    describe(&reader, info);
cleanup:
    close_webp(&reader);
    return status;
}

/* As many rows as there are bytes for: at least one. */
static VP8StatusCode decode_rows(const WebPIterator *frame, WebPDecBuffer *output) {
    int last = 0, width = 0, height = 0, stride = 0;
    WebPIDecoder *decoder = WebPINewDecoder(output);
    if (!decoder) return VP8_STATUS_OUT_OF_MEMORY;
    VP8StatusCode code = WebPIUpdate(decoder, frame->fragment.bytes, frame->fragment.size);
    if (code == VP8_STATUS_SUSPENDED && WebPIDecGetRGB(decoder, &last, &width, &height, &stride) && last > 0)
        code = VP8_STATUS_OK;
    WebPIDelete(decoder);
    return code;
}

/* Decodes the first frame to its place on a canvas of 3 or 4 channels; size is the whole canvas in bytes. */
static mq_status decode_frame(mq_err *err, const mq_encoded *in, const webp_reader *reader, size_t channels,
                              uint8_t *canvas) {
    const WebPIterator *frame = &reader->frame;
    const bool cut = !frame->complete;
    /* The sides are below 2^24, so no product here overflows. */
    const size_t stride = reader->width * channels;
    const size_t start = (size_t)frame->y_offset * stride + (size_t)frame->x_offset * channels;
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return mq_fail(err, MQ_INTERNAL, "libwebp is another version than marque was built with");
    config.output.colorspace = channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = canvas + start;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = stride * reader->height - start;
    const VP8StatusCode code = cut ? decode_rows(frame, &config.output)
                                   : WebPDecode(frame->fragment.bytes, frame->fragment.size, &config);
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return mq_fail(err, MQ_NO_MEMORY, "%s: no memory to decode this WebP", in->name);
    if (code != VP8_STATUS_OK || config.output.width != frame->width || config.output.height != frame->height)
        return mq_fail(err, MQ_BAD_DATA, "%s: damaged WebP (libwebp status %d); replace it", in->name, code);
    return MQ_OK;
}

/* The pixels of an open file. */
static mq_status decode_opened(mq_err *err, const mq_encoded *in, const webp_reader *reader,
                               const uint8_t background[3], mq_pixels *pixels) {
    mq_status status = MQ_OK;
    uint8_t *canvas = NULL;
    /* Frames smaller than their canvas occur in animations only; a frame is never larger. */
    const bool whole = reader->frame.width == (int)reader->width &&
                       reader->frame.height == (int)reader->height;
    const size_t channels = reader->alpha || !whole ? 4 : 3;
    MQ_TRY(mq_picture_memory(err, in->name, reader->width, reader->height, channels, &canvas));
    const size_t count = (size_t)reader->width * reader->height;
    /* transparent around the frame; black or transparent where rows are missing */
    if (!whole || !reader->frame.complete) memset(canvas, 0, count * channels);
    MQ_TRY(decode_frame(err, in, reader, channels, canvas));
    if (channels == 4) mq_rgba_over(canvas, count, background, canvas);
    *pixels = (mq_pixels){canvas, reader->width, reader->height};
    canvas = NULL;
cleanup:
    free(canvas);
    return status;
}

static mq_status webp_decode(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                             mq_pixels *pixels) {
    mq_status status = MQ_OK;
    webp_reader reader;
    MQ_TRY(open_webp(err, in, false, &reader));
    MQ_TRY(decode_opened(err, in, &reader, background, pixels));
cleanup:
    close_webp(&reader);
    return status;
}

static mq_status webp_salvage(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                              mq_picture_info *info, mq_pixels *pixels) {
    mq_status status = MQ_OK;
    webp_reader reader;
    MQ_TRY(open_webp(err, in, true, &reader));
    describe(&reader, info);
    MQ_TRY(decode_opened(err, in, &reader, background, pixels));
cleanup:
    close_webp(&reader);
    return status;
}

const mq_decoder mq_decoder_webp = {"webp", webp_knows, webp_probe, webp_decode, NULL, webp_salvage};
