/* top_class.c: says what a raw BGR frame shows, or with a WIDTH of 0 a file. Built by test_install.py against
 * the installed library.
 *
 *   top_class MODEL WIDTH HEIGHT STRIDE <FRAME */
#include <marque.h>

#include <stdio.h>
#include <stdlib.h>

static unsigned char frame[1 << 22];

int main(int argc, char **argv) {
    mq_err err = {MQ_OK, ""};
    mq_classifier *classifier = NULL;
    mq_guess best;
    if (argc != 5) return MQ_USAGE;
    const mq_classifier_plan plan = {.size = sizeof plan, .model = argv[1]};
    const mq_image image = {.size = sizeof image,
                            .data = frame,
                            .data_size = fread(frame, 1, sizeof frame, stdin),
                            .format = atoi(argv[2]) ? MQ_PIXELS_BGR : MQ_PIXELS_ENCODED,
                            .width = (uint32_t)atoi(argv[2]),
                            .height = (uint32_t)atoi(argv[3]),
                            .stride = atoi(argv[4])};
    if (mq_classifier_open(&err, &plan, &classifier) == MQ_OK &&
        mq_classify(&err, classifier, &image, 1, 1, &best) == MQ_OK)
        printf("%zu %.9g %s\n", best.index, (double)best.probability, best.name);
    else
        fprintf(stderr, "%s\n", err.text);
    mq_classifier_free(&classifier);
    return err.code;
}
