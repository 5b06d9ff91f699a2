#include <mixtape/model_fields.h>

#include <float.h>
#include <limits.h>
#include <math.h>
#include <string.h>

/* Far above any model in use, and low enough that no product of two of them overflows. */
#define MOST        16777216.0
#define MOST_BLOCKS 1024.0

_Static_assert(sizeof(mt_norm_kind) == sizeof(int) && sizeof(mt_time_first) == sizeof(int),
               "choices are read and written as int");

#define AT(field) offsetof(mt_model_config, field)

static const char *norm_name(int value)
{
    return mt_norm_kind_name((mt_norm_kind)value);
}

static const char *time_first_name(int value)
{
    return mt_time_first_name((mt_time_first)value);
}

/* clang-format off */
static const mt_model_field fields[] = {
    {"vocab_size", "vocab_size", MT_MODEL_SIZE, AT(vocab_size), .most = MOST},
    {"input_size", "input_size", MT_MODEL_SIZE, AT(input_size), .most = MOST},
    {"output_size", "output_size", MT_MODEL_SIZE, AT(output_size), .most = MOST},
    {"block_size", "block_size", MT_MODEL_SIZE, AT(block_size), .least = 1, .most = MOST,
     .of_weights = true, .espnet = "decoder_conf",
     .option = "size", .argument = "S", .help = "Width of the model",
     .option_least = 1, .option_most = MOST, .fixed = true},
    {"attention_size", "attention_size", MT_MODEL_SIZE, AT(attention_size), .least = 1,
     .most = MOST, .of_weights = true, .espnet = "decoder_conf",
     .option = "attention-size", .argument = "A", .help = "Channels of time mixing (0: size)",
     .option_most = MOST, .fixed = true},
    {"linear_size", "linear_size", MT_MODEL_SIZE, AT(linear_size), .least = 1, .most = MOST,
     .of_weights = true, .espnet = "decoder_conf",
     .option = "linear-size", .argument = "H", .help = "Hidden width of feed-forward (0: 4 size)",
     .option_most = MOST, .fixed = true},
    {"context_size", "context_size", MT_MODEL_SIZE, AT(context_size), .least = 1, .most = MOST,
     .of_weights = true, .espnet = "decoder_conf",
     .option = "context-size", .argument = "N",
     .help = "Longest sequence that the model accepts (0: what the task needs)",
     .option_most = MOST},
    {"num_blocks", "num_blocks", MT_MODEL_SIZE, AT(num_blocks), .least = 1, .most = MOST_BLOCKS,
     .of_weights = true, .espnet = "decoder_conf",
     .option = "blocks", .argument = "N", .help = "RWKV blocks",
     .option_least = 1, .option_most = MOST_BLOCKS, .fixed = true},
    {"rescale_every", "rescale_every", MT_MODEL_SIZE, AT(rescale_every), .least = -1,
     .most = INT32_MAX, .optional = true, .of_weights = true, .espnet = "decoder_conf",
     .option = "rescale-every", .argument = "N",
     .help = "What exports tell of inference: halve weights every N blocks (0, -1: never)",
     .option_least = -1, .option_most = INT32_MAX},
    {"norm.kind", "normalization_type", MT_MODEL_CHOICE, AT(norm.kind), norm_name,
     .of_weights = true, .espnet = "decoder_conf",
     .option = "norm", .argument = "NAME", .help = "Normalisation", .fixed = true},
    {"norm.eps", "eps", MT_MODEL_REAL, AT(norm.eps), .least = FLT_MIN, .most = 1e6,
     .of_weights = true, .espnet = "normalization_args",
     .option = "norm-eps", .argument = "X", .help = "Its eps (0, the default: as in ESPnet)",
     .option_most = 1e3, .fixed = true},
    {"norm.partial", "partial", MT_MODEL_REAL, AT(norm.partial), .least = -HUGE_VAL,
     .most = HUGE_VAL, .of_weights = true, .espnet = "normalization_args",
     .option = "norm-partial", .argument = "P",
     .help = "Share of channels in rms_norm's statistic (outside (0, 1): all)",
     .option_least = -1, .option_most = 1, .fixed = true},
    {"time_first", "time_first", MT_MODEL_CHOICE, AT(time_first), time_first_name,
     .option = "time-first", .argument = "NAME", .help = "Initial values of time_first",
     .fixed = true},
    {"bias", "bias", MT_MODEL_FLAG, AT(bias), .of_weights = true, .display = "biases *",
     .option = "no-bias",
     .help = "No biases in projections and head, as RWKV-LM and Hugging Face have it",
     .fixed = true},
    {"head_bias", "head_bias", MT_MODEL_FLAG, AT(head_bias), .display = "of the head *"},
    {"padding_index", "embed_pad", MT_MODEL_LABEL, AT(padding_index), .least = -1, .most = MOST,
     .espnet = "decoder_conf",
     .option = "embed-pad", .argument = "ID",
     .help = "Label whose embedding is zero and never updated (-1: none)",
     .option_least = -1, .option_most = MOST, .fixed = true},
    {"embed_dropout", "embed_dropout_rate", MT_MODEL_REAL, AT(embed_dropout), .most = 1,
     .espnet = "decoder_conf", .display = "dropout * after embedding",
     .option = "embed-dropout", .argument = "P",
     .help = "Dropout after the embedding (default: --dropout)",
     .option_least = -1, .option_most = 0.999},
    {"att_dropout", "att_dropout_rate", MT_MODEL_REAL, AT(att_dropout), .most = 1,
     .espnet = "decoder_conf", .display = "* after attention",
     .option = "att-dropout", .argument = "P",
     .help = "Dropout after attention (default: --dropout)",
     .option_least = -1, .option_most = 0.999},
    {"ffn_dropout", "ffn_dropout_rate", MT_MODEL_REAL, AT(ffn_dropout), .most = 1,
     .espnet = "decoder_conf", .display = "* after feed-forward",
     .option = "ffn-dropout", .argument = "P",
     .help = "Dropout after feed-forward (default: --dropout)",
     .option_least = -1, .option_most = 0.999},
    {.name = NULL},
};
/* clang-format on */

const mt_model_field *mt_model_fields(void)
{
    return fields;
}

int64_t mt_model_field_whole(const mt_model_field *field, const mt_model_config *config)
{
    const void *at = (const char *)config + field->offset;
    return field->type == MT_MODEL_SIZE   ? *(const int64_t *)at
           : field->type == MT_MODEL_FLAG ? *(const bool *)at
           : field->type == MT_MODEL_REAL ? 0
                                          : *(const int *)at;
}

void mt_model_field_set_whole(const mt_model_field *field, mt_model_config *config, int64_t value)
{
    void *at = (char *)config + field->offset;
    if (field->type == MT_MODEL_SIZE) {
        *(int64_t *)at = value;
    } else if (field->type == MT_MODEL_FLAG) {
        *(bool *)at = value != 0;
    } else if (field->type != MT_MODEL_REAL) {
        *(int *)at = value < INT_MIN ? INT_MIN : value > INT_MAX ? INT_MAX : (int)value;
    }
}

double mt_model_field_real(const mt_model_field *field, const mt_model_config *config)
{
    return *(const double *)((const char *)config + field->offset);
}

void mt_model_field_set_real(const mt_model_field *field, mt_model_config *config, double value)
{
    *(double *)((char *)config + field->offset) = value;
}

void mt_model_field_copy(const mt_model_field *field, const mt_model_config *from,
                         mt_model_config *to)
{
    if (field->type == MT_MODEL_REAL) {
        mt_model_field_set_real(field, to, mt_model_field_real(field, from));
    } else {
        mt_model_field_set_whole(field, to, mt_model_field_whole(field, from));
    }
}

const char *mt_model_dtype_name(int value)
{
    return value <= MT_F64 ? mt_dtype_name((mt_dtype)value) : NULL;
}

const char *mt_compute_dtype_name(int value)
{
    return value < MT_REAL_DTYPES ? mt_dtype_name((mt_dtype)value) : NULL;
}

int mt_choice_find(mt_choice_name choice, const char *text)
{
    for (int i = 0; choice(i) != NULL; i++) {
        if (strcmp(choice(i), text) == 0) {
            return i;
        }
    }
    return -1;
}
