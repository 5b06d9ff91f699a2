/* Mixtape: everything that most programs need. Each header is the manual of its part, and can be
 * included by itself.
 *
 * 1. To train a model, to keep it, to exchange it and to use it: model.h, trainer.h and stream.h,
 *    weights.h and checkpoint.h; its data come from text.h and transcripts.h.
 * 2. To build a model of one's own: a tape (tape.h) and operators on it (operators.h), layers
 *    (block.h includes all of them) with their parameters (parameter.h); gradcheck.h compares what
 *    it computes with finite differences. wkv.h is the WKV operator alone, on plain arrays.
 * 3. To write an operator of one's own: extend.h, which is not included here. */
#ifndef MIXTAPE_MIXTAPE_H
#define MIXTAPE_MIXTAPE_H

#include <mixtape/adam.h>
#include <mixtape/checkpoint.h>
#include <mixtape/device.h>
#include <mixtape/gradcheck.h>
#include <mixtape/model.h>
#include <mixtape/operators.h>
#include <mixtape/part.h>
#include <mixtape/random.h>
#include <mixtape/schedule.h>
#include <mixtape/stream.h>
#include <mixtape/text.h>
#include <mixtape/trainer.h>
#include <mixtape/transcripts.h>
#include <mixtape/version.h>
#include <mixtape/weights.h>
#include <mixtape/wkv.h>

#endif
