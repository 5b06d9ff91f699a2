/* Mixtape: everything that most programs need. Each header is the manual of its part, and can be
 * included by itself.
 *
 * 1. Train, stream and exchange a model in ten lines: model.h, trainer.h, stream.h, sampling.h and
 *    scoring.h; carried.h to train on sequences longer than a batch; weights.h and checkpoint.h for
 *    files of them; text.h and transcripts.h for data.
 * 2. Build a model from layers and operators: a tape (tape.h), operators on it (operators.h),
 *    layers (block.h includes all of them) with their parameters (parameter.h). gradcheck.h
 *    compares what it computes with finite differences. wkv.h and transducer.h are the WKV
 *    operator and the transducer loss alone, on plain arrays.
 * 3. Write operators of one's own: extend.h, which alone shows the kernels that a device offers,
 *    and which is not included here. */
#ifndef MIXTAPE_MIXTAPE_H
#define MIXTAPE_MIXTAPE_H

#include <mixtape/adam.h>
#include <mixtape/adapter.h>
#include <mixtape/carried.h>
#include <mixtape/checkpoint.h>
#include <mixtape/communicator.h>
#include <mixtape/device.h>
#include <mixtape/gradcheck.h>
#include <mixtape/model.h>
#include <mixtape/operators.h>
#include <mixtape/part.h>
#include <mixtape/random.h>
#include <mixtape/sampling.h>
#include <mixtape/schedule.h>
#include <mixtape/scoring.h>
#include <mixtape/stream.h>
#include <mixtape/text.h>
#include <mixtape/trainer.h>
#include <mixtape/transcripts.h>
#include <mixtape/transducer.h>
#include <mixtape/version.h>
#include <mixtape/weights.h>
#include <mixtape/wkv.h>

#endif
