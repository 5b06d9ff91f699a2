/* The calls whose instructions are counted (bench/instructions.c). A row is CALL(kernel, variant,
 * arguments behind the device), with an empty variant where a kernel has one call alone. Rows are
 * called in order: one of backward reads what the row of forward before it has written.
 *
 * Whoever includes this file defines CALL, and has the sizes and arrays that the rows name. */

/* clang-format off */

CALL(fill, , NUMBERS, 0.5, y[0])
CALL(add, , NUMBERS, x[0], x[1], y[0])
CALL(subtract, , NUMBERS, x[0], x[1], y[0])
CALL(multiply, , NUMBERS, x[0], x[1], y[0])
CALL(divide, , NUMBERS, x[0], positive, y[0])
CALL(scale, , NUMBERS, 0.5, x[0], y[0])
CALL(scale_by, , NUMBERS, wide[0], x[0], y[0])
CALL(sigmoid_forward, , NUMBERS, x[0], y[0])
CALL(sigmoid_backward, , NUMBERS, x[0], x[1], y[0])
CALL(exp_forward, , NUMBERS, x[0], y[0])
CALL(negative_exp_forward, , NUMBERS, x[0], y[0])
CALL(log_forward, , NUMBERS, positive, y[0])
CALL(tanh_forward, , NUMBERS, x[0], y[0])
CALL(tanh_backward, , NUMBERS, x[0], x[1], y[0])
CALL(relu_forward, , NUMBERS, x[0], y[0])
CALL(relu_backward, , NUMBERS, x[0], x[1], y[0])
CALL(gelu_forward, , NUMBERS, x[0], y[0])
CALL(gelu_backward, , NUMBERS, x[0], x[1], y[0])
CALL(squared_relu_forward, , ROWS, CHANNELS, x[0], wide[0], y[0])
CALL(squared_relu_backward, , NUMBERS, positive, x[1], y[0])
CALL(sigmoid_gate_forward, , NUMBERS, x[0], x[1], y[0])
CALL(sigmoid_gate_backward, , NUMBERS, x[0], x[1], x[2], y[0], y[1])
CALL(softmax_forward, , ROWS, SYMBOLS, x[0], y[0])
CALL(softmax_backward, , ROWS, SYMBOLS, y[0], x[1], y[1])
CALL(mean_square_forward, , NUMBERS, x[0], x[1], y[0])
CALL(mean_square_backward, , NUMBERS, x[0], x[1], wide[0], y[0])

CALL(broadcast_rows, , ROWS, CHANNELS, wide[0], y[0])
CALL(sum_rows, , 1, ROWS, CHANNELS, x[0], 0, y[0], 0)
CALL(sum, , NUMBERS, 0.5, x[0], y[0])
CALL(sum_squares, , NUMBERS, x[0], y[0])
CALL(watch, , 10.0, wide[0], y[0])
CALL(commit, , NUMBERS, &norm_squared, wide[0], y[0])
CALL(copy_rows, , ROWS, CHANNELS / 2, x[0], CHANNELS, y[0], CHANNELS)
CALL(swap_axes, , 1, ROWS, 1, CHANNELS, 1, x[0], y[0])
CALL(widen, , NUMBERS, x[0], y[0])
CALL(narrow, , NUMBERS, wide[0], y[0])

/* Of what is left to a library nothing is counted, but what is done around it. */
CALL(matmul, _1_row, &(mt_matmul_args){false, true, 1, CHANNELS, CHANNELS, 1.0, 0.0, x[0],
                                       x[1], y[0]})
CALL(matmul, _4_rows, &(mt_matmul_args){false, true, 4, CHANNELS, CHANNELS, 1.0, 0.0, x[0],
                                        x[1], y[0]})
CALL(matmul, _by_library, &(mt_matmul_args){false, false, ROWS, CHANNELS, CHANNELS, 1.0, 0.0,
                                            x[0], x[1], y[0]})

#define COMPACT(variant, rows, of_type, of_scales)                                                 \
    CALL(matmul_compact, variant, &(mt_matmul_compact_args){                                       \
        .M = rows, .N = CHANNELS, .K = CHANNELS, .x = x[0], .type = of_type, .weights = x[1],      \
        .scales = of_scales, .y = y[0]})
COMPACT(_1_row_of_bf16, 1, MT_BF16, NULL)
COMPACT(_1_row_of_i8, 1, MT_I8, scales)
COMPACT(_64_rows_of_i8, ROWS, MT_I8, scales)
#undef COMPACT

CALL(time_mix_forward, , &(mt_time_mix_forward_args){
    .B = BATCH, .T = ROWS, .C = CHANNELS, .count = 3, .x = x[0],
    .mix = {wide[0], wide[1], wide[2]}, .y = {y[0], y[1], y[2]}})
CALL(time_mix_backward, , &(mt_time_mix_backward_args){
    .B = BATCH, .T = ROWS, .C = CHANNELS, .count = 3, .x = x[0],
    .mix = {wide[0], wide[1], wide[2]}, .dy = {x[1], x[2], x[3]},
    .dx = y[0], .dmix = {y[1], y[2], y[3]}})

#define NORM(variant, of_kind)                                                                     \
    CALL(norm_forward, variant, &(mt_norm_forward_args){                                           \
        .kind = of_kind, .N = ROWS, .C = CHANNELS, .P = CHANNELS, .eps = 1e-5, .x = x[0],      \
        .weight = wide[0], .bias = wide[1], .y = y[0], .mean = y[1],               \
        .scale = y[2]})                                                                        \
    CALL(norm_backward, variant, &(mt_norm_backward_args){                                         \
        .kind = of_kind, .N = ROWS, .C = CHANNELS, .P = CHANNELS, .eps = 1e-5, .x = x[0],      \
        .weight = wide[0], .mean = y[1], .scale = y[2], .dy = x[1],                \
        .dx = y[0], .dweight = y[3], .dbias = y[4]})
NORM(_layer, MT_LAYER_NORM)
NORM(_rms, MT_RMS_NORM)
NORM(_scale, MT_SCALE_NORM)
NORM(_basic, MT_BASIC_NORM)
#undef NORM

CALL(embedding_forward, , &(mt_embedding_forward_args){
    ROWS, LABELS, CHANNELS, labels, wide[0], y[0]})
CALL(embedding_backward, , &(mt_embedding_backward_args){
    ROWS, LABELS, CHANNELS, -1, labels, x[0], y[0], (void *)y[1]})

CALL(cross_entropy_forward, , &(mt_cross_entropy_forward_args){
    .N = ROWS, .V = SYMBOLS, .ignore_index = -1, .label_smoothing = 0.1, .logits = x[0],
    .targets = labels, .lse = y[0], .rows = (void *)y[1]})
CALL(cross_entropy_total, , &(mt_cross_entropy_total_args){
    .N = ROWS, .rows = (void *)y[1], .loss = y[2], .stats = y[3]})
CALL(cross_entropy_backward, , &(mt_cross_entropy_backward_args){
    .N = ROWS, .V = SYMBOLS, .ignore_index = -1, .label_smoothing = 0.1, .logits = x[0],
    .targets = labels, .lse = y[0], .stats = y[3], .dloss = wide[0],
    .dlogits = y[4]})

CALL(dropout, , &(mt_dropout_args){NUMBERS, 0.1, 1, 2, &step, x[0], y[0]})
CALL(adam, , &(mt_adam_args){
    .n = NUMBERS, .decayed = NUMBERS / 2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8,
    .weight_decay = 0.01, .grad_scale = 1.0, .clip = 1.0, .norm_squared = &norm_squared,
    .rates = &rates, .parameter = y[0], .grad = wide[0], .m = y[1], .v = y[2],
    .narrow = (void *)y[3]})

/* Serially along time, and chunks of it side by side. */
#define WKV(variant, rows, steps, channels)                                                        \
    CALL(wkv_forward, variant, &(mt_wkv_forward_args){                                             \
        .B = rows, .T = steps, .C = channels, .w = decay, .u = wide[0], .k = x[0],     \
        .v = x[1], .y = y[0], .saved = y[1]})                                          \
    CALL(wkv_backward, variant, &(mt_wkv_backward_args){                                           \
        .B = rows, .T = steps, .C = channels, .w = decay, .u = wide[0], .k = x[0],     \
        .v = x[1], .saved = y[1], .dy = x[2], .dw = y[2], .du = y[3],          \
        .dk = y[4], .dv = y[5]})
WKV(, BATCH, ROWS, CHANNELS)
WKV(_of_one_row, 1, MANY_STEPS, FEW_CHANNELS)
#undef WKV
CALL(wkv_forward, _one_step, &(mt_wkv_forward_args){
    .B = BATCH, .T = 1, .C = CHANNELS, .w = decay, .u = wide[0], .k = x[0],
    .v = x[1], .state_in = wide[1], .y = y[0], .state_out = y[1]})
CALL(transducer_forward, , &(mt_transducer_forward_args){
    .B = BATCH, .T = FRAMES, .U = EMITTED, .V = LABELS, .logits = x[0], .labels = labels,
    .frames = frames, .label_lengths = lengths, .losses = y[0], .betas = y[1],
    .alphas = y[2], .nodes = (void *)y[3]})
CALL(transducer_backward, , &(mt_transducer_backward_args){
    .B = BATCH, .T = FRAMES, .U = EMITTED, .V = LABELS, .logits = x[0], .labels = labels,
    .frames = frames, .label_lengths = lengths, .betas = y[1], .alphas = y[2],
    .dlosses = wide[0], .dlogits = y[4]})

/* clang-format on */

#undef CALL
