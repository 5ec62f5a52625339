/* encode_jpeg.c: writes JPEG through libjpeg-turbo. Called by the importer for
 * HEIC and AVIF. The library leaves by longjmp: all of it runs inside
 * guarded(), and what it needs lives in jpeg_writer. Invariant: the same pixels
 * give the same bytes. */
#include "data/encode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

typedef struct {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr error;
    jmp_buf jump;
    mq_view view;
    unsigned char *bytes; /* the library's, from malloc */
    unsigned long size;
    char text[JMSG_LENGTH_MAX]; /* why it failed */
} jpeg_writer;

static void leave(j_common_ptr common) {
    jpeg_writer *writer = common->client_data;
    common->err->format_message(common, writer->text);
    longjmp(writer->jump, 1);
}

/* Sampling of 1 x 1 keeps colours at full resolution: the source may have halved them once already. */
static void write_picture(jpeg_writer *writer) {
    struct jpeg_compress_struct *jpeg = &writer->jpeg;
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, &writer->bytes, &writer->size);
    jpeg->image_width = writer->view.width;
    jpeg->image_height = writer->view.height;
    jpeg->input_components = 3;
    jpeg->in_color_space = JCS_RGB;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, MQ_JPEG_QUALITY, TRUE);
    jpeg->comp_info[0].h_samp_factor = jpeg->comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(jpeg, TRUE);
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = (JSAMPROW)(writer->view.rgb + jpeg->next_scanline * writer->view.stride);
        (void)jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

/* Runs step; false when the library left by longjmp. */
static bool guarded(jpeg_writer *writer, void (*step)(jpeg_writer *writer)) {
    if (setjmp(writer->jump)) return false;
    step(writer);
    return true;
}

mq_status mq_jpeg_encode(mq_err *err, mq_view view, mq_buf *out) {
    mq_status status = MQ_OK;
    jpeg_writer writer = {.view = view};
    writer.jpeg.err = jpeg_std_error(&writer.error);
    writer.jpeg.client_data = &writer;
    writer.error.error_exit = leave;
    MQ_REQUIRE(guarded(&writer, write_picture), err, MQ_BAD_DATA,
               "a picture of %u x %u cannot be stored as JPEG: %s", view.width, view.height, writer.text);
    mq_buf_clear(out);
    MQ_TRY(mq_buf_add(err, out, writer.bytes, writer.size));
cleanup:
    jpeg_destroy_compress(&writer.jpeg);
    free(writer.bytes);
    return status;
}
