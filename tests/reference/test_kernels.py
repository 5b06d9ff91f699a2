"""The plain reference of the kernels (kernels/reference) against NumPy: outputs against the
formulas, gradients against complex steps of them. A step of 1e-30 i leaves the derivative in the
imaginary part, exact to rounding."""

import ctypes
import os
import unittest

import numpy

import rwkv_reference

LIBRARY = ctypes.CDLL(os.environ["REFERENCE"])

TYPES = {"enum": ctypes.c_int, "int": ctypes.c_int, "int32": ctypes.c_int32,
         "int64": ctypes.c_int64, "double": ctypes.c_double, "pointer": ctypes.c_void_p}

# The arguments of each contract, in their order: a type stands before the fields that have it.
ARGUMENTS = {
    "wkv_forward": "int64 B T C pointer w u k v state_in y state_out saved workspace",
    "wkv_backward": "int64 B T C pointer w u k v saved dy dstate_out "
                    "dw du dk dv dstate_in workspace",
    "norm_forward": "enum kind int64 N C P double eps pointer x weight bias y mean scale",
    "norm_backward": "enum kind int64 N C P double eps "
                     "pointer x weight mean scale dy dx dweight dbias",
    "time_mix_forward": "int64 B T C int count pointer x carried mix0 mix1 mix2 y0 y1 y2",
    "time_mix_backward": "int64 B T C int count pointer x carried mix0 mix1 mix2 dy0 dy1 dy2 "
                         "dx dcarried dmix0 dmix1 dmix2",
    "cross_entropy_forward": "int64 N V int32 ignore_index double label_smoothing "
                             "pointer logits targets loss lse stats top",
    "cross_entropy_backward": "int64 N V int32 ignore_index double label_smoothing "
                              "pointer logits targets lse stats top double l2wrap "
                              "pointer dloss dlogits",
    "transducer_forward": "int64 B T U V int32 blank pointer logits labels frames label_lengths "
                          "losses betas alphas nodes",
    "transducer_backward": "int64 B T U V int32 blank double fastemit_lambda pointer logits labels "
                           "frames label_lengths betas alphas dlosses dlogits",
    "adam": "int64 n decayed double beta1 beta2 eps weight_decay grad_scale clip "
            "pointer norm_squared rates ranges int64 range_count pointer parameter grad m v",
}


def call(function, **values):
    """Calls mt_reference_<function> with the named arguments; arrays are passed in place."""
    fields, kind = [], None
    for word in ARGUMENTS[function].split():
        kind = TYPES.get(word, kind)
        if word not in TYPES:
            fields.append((word, kind))
    structure = type(function, (ctypes.Structure,), {"_fields_": fields})
    arguments = structure()
    for name, value in values.items():
        setattr(arguments, name, value.ctypes.data if isinstance(value, numpy.ndarray) else value)
    getattr(LIBRARY, "mt_reference_" + function)(ctypes.byref(arguments))


def derivative(objective, inputs, name):
    """d objective(**inputs) / d inputs[name], an element at a time."""
    result = numpy.empty(inputs[name].shape)
    for place in numpy.ndindex(result.shape):
        moved = inputs[name].astype(complex)
        moved[place] += 1e-30j
        result[place] = objective(**{**inputs, name: moved}).imag / 1e-30
    return result


def assert_close(actual, expected, what=""):
    numpy.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-12, err_msg=what)


class WkvTest(unittest.TestCase):
    def compare(self, B, T, C, carried, key_range):
        random = numpy.random.default_rng(T)
        shape, empty = (B, T, C), rwkv_reference.empty_state(B * C).reshape(3, B, C)
        inputs = {"time_decay": random.normal(size=C), "time_first": random.normal(size=C),
                  "key": random.uniform(-key_range, key_range, shape),
                  "value": random.normal(size=shape)}
        state = random.uniform(0.5, 1.5, (3, B, C)) if carried else empty
        inputs["num"], inputs["den"], inputs["max"] = state
        dy, dstate = random.normal(size=shape), random.normal(size=(3, B, C))
        w = -numpy.exp(inputs["time_decay"])
        given = {"B": B, "T": T, "C": C, "w": w, "u": inputs["time_first"], "k": inputs["key"],
                 "v": inputs["value"], "saved": numpy.empty((T, 3, B, C))}
        y, last = numpy.full(shape, numpy.nan), numpy.full((3, B, C), numpy.nan)
        call("wkv_forward", **given, state_in=state if carried else None, y=y, state_out=last)

        def outputs(time_decay, time_first, key, value, num, den, max):
            """y, and (num, den) of the last state as multiples of the reference's e^max."""
            ys, states = [], []
            for b in range(B):
                first = (num[b], den[b], max[b])
                ys.append(rwkv_reference.wkv(time_decay, time_first, key[b], value[b], first))
                exponents, nums, dens = rwkv_reference.wkv_terms(
                    T, -numpy.exp(time_decay), key[b], value[b], first)
                weights = numpy.exp(exponents - last[2][b])
                states.append([(weights * nums).sum(axis=0), (weights * dens).sum(axis=0)])
            return numpy.stack(ys), numpy.stack(states, axis=1)

        def objective(**inputs):
            y, sums = outputs(**inputs)
            return (dy * y).sum() + (dstate[:2] * sums).sum()

        expected_y, expected_sums = outputs(**inputs)
        assert_close(y, expected_y, "y")
        assert_close(last[:2], expected_sums, "state_out")
        dw, du = numpy.full((2, C), numpy.nan)
        dk, dv = numpy.full((2, *shape), numpy.nan)
        dfirst = numpy.full((3, B, C), numpy.nan)
        call("wkv_backward", **given, dy=dy, dstate_out=dstate, dw=dw, du=du, dk=dk, dv=dv,
             dstate_in=dfirst)
        gradients = {"time_decay": w * dw, "time_first": du, "key": dk, "value": dv,
                     "num": dfirst[0], "den": dfirst[1]}
        for name, gradient in gradients.items():
            assert_close(gradient, derivative(objective, inputs, name), name)
        assert_close(dfirst[2], 0.0)

    def test_outputs_states_and_gradients(self):
        for case in [(1, 1, 1, False, 1.0), (1, 1, 1, True, 1.0), (2, 1, 3, True, 1.0),
                     (1, 2, 1, False, 3.0), (2, 7, 3, True, 1.0), (3, 5, 1, False, 30.0),
                     (2, 9, 5, True, 1000.0), (1, 17, 2, False, 1000.0)]:
            with self.subTest(case=case):
                self.compare(*case)


class NormTest(unittest.TestCase):
    kinds = ["layer_norm", "rms_norm", "scale_norm", "basic_norm"]
    learnt = dict(zip(kinds, ["weight", "scale", "scale", "eps"]))

    def compare(self, kind, N, C, P, eps):
        random = numpy.random.default_rng(C)
        weights = C if kind in ("layer_norm", "rms_norm") else 1
        inputs = {"x": random.normal(0.3, 1.0, (N, C)), "weight": random.normal(size=weights),
                  "bias": random.normal(size=C)}
        dy = random.normal(size=(N, C))

        def output(x, weight, bias):
            learnt = {"norm." + self.learnt[kind]: weight, "norm.bias": bias}
            return rwkv_reference.norm(learnt, "norm", kind, eps, (P + 0.5) / C, x)

        def objective(**inputs):
            return (dy * output(**inputs)).sum()

        given = {"kind": self.kinds.index(kind), "N": N, "C": C, "P": P, "eps": eps,
                 "x": inputs["x"], "weight": inputs["weight"], "mean": numpy.empty(N),
                 "scale": numpy.empty(N)}
        y, dx = numpy.full((2, N, C), numpy.nan)
        call("norm_forward", **given, bias=inputs["bias"], y=y)
        assert_close(y, output(**inputs), "y")
        dweight, dbias = numpy.full(weights, numpy.nan), numpy.full(C, numpy.nan)
        gradients = {"x": dx, "weight": dweight}
        if kind == "layer_norm":
            gradients["bias"] = dbias
        call("norm_backward", **given, dy=dy, dx=dx, dweight=dweight, dbias=gradients.get("bias"))
        for name, gradient in gradients.items():
            assert_close(gradient, derivative(objective, inputs, name), name)

    def test_outputs_and_gradients(self):
        for case in [("layer_norm", 1, 1, 1, 1e-5), ("layer_norm", 3, 2, 2, 0.1),
                     ("layer_norm", 3, 17, 17, 1e-12), ("rms_norm", 1, 1, 1, 1e-5),
                     ("rms_norm", 5, 17, 17, 1e-5), ("rms_norm", 3, 9, 4, 0.1),
                     ("scale_norm", 1, 1, 1, 1e-5), ("scale_norm", 3, 17, 17, 1e-5),
                     ("scale_norm", 2, 3, 3, 100.0), ("basic_norm", 1, 1, 1, 0.0),
                     ("basic_norm", 5, 9, 9, 0.0)]:
            with self.subTest(case=case):
                self.compare(*case)


class TimeMixTest(unittest.TestCase):
    def compare(self, B, T, C, count, carried):
        random = numpy.random.default_rng(T)
        inputs = {"x": random.normal(size=(B, T, C)),
                  "carried": random.normal(size=(B, C)) * carried,
                  "mix": random.normal(size=(count, C))}
        dy = random.normal(size=(count, B, T, C))

        def outputs(x, carried, mix):
            return numpy.stack([[rwkv_reference.mixed(x[b], m, carried[b]) for b in range(B)]
                                for m in mix])

        def objective(**inputs):
            return (dy * outputs(**inputs)).sum()

        def numbered(name, arrays):
            return {f"{name}{i}": array for i, array in enumerate(arrays)}

        given = {"B": B, "T": T, "C": C, "count": count, "x": inputs["x"],
                 "carried": inputs["carried"] if carried else None,
                 **numbered("mix", inputs["mix"])}
        y = numpy.full(dy.shape, numpy.nan)
        call("time_mix_forward", **given, **numbered("y", y))
        assert_close(y, outputs(**inputs), "y")
        gradients = {name: numpy.full(value.shape, numpy.nan) for name, value in inputs.items()}
        call("time_mix_backward", **given, **numbered("dy", dy), dx=gradients["x"],
             dcarried=gradients["carried"], **numbered("dmix", gradients["mix"]))
        for name, gradient in gradients.items():
            assert_close(gradient, derivative(objective, inputs, name), name)

    def test_outputs_and_gradients(self):
        for case in [(1, 1, 1, 1, False), (2, 1, 3, 3, True), (2, 5, 3, 2, True),
                     (3, 4, 1, 3, False)]:
            with self.subTest(case=case):
                self.compare(*case)


class CrossEntropyTest(unittest.TestCase):
    def compare(self, N, V, ignore_index, smoothing, scale, l2wrap=0.0):
        random = numpy.random.default_rng(V)
        inputs = {"logits": random.normal(0.0, scale, (N, V))}
        targets = random.integers(0, V, N).astype(numpy.int32)
        counted = targets != ignore_index

        def mean_loss(logits):
            shifted = logits - logits.max(axis=1, keepdims=True)
            log_softmax = shifted - numpy.log(numpy.exp(shifted).sum(axis=1, keepdims=True))
            wanted = (1.0 - smoothing) * numpy.eye(V)[targets] + smoothing / V
            return -(wanted * log_softmax).sum(axis=1)[counted].sum() / max(counted.sum(), 1)

        def wrapped_loss(logits):
            """What the gradient is of: the loss, and what L2Wrap does not show of it."""
            largest = logits[numpy.arange(N), logits.real.argmax(axis=1)]
            unseen = 0.5 * l2wrap * (largest**2)[counted].sum() / max(counted.sum(), 1)
            return mean_loss(logits) + unseen

        top = numpy.zeros(N, numpy.int32) if l2wrap else None
        given = {"N": N, "V": V, "ignore_index": ignore_index, "label_smoothing": smoothing,
                 "logits": inputs["logits"], "targets": targets, "lse": numpy.full(N, numpy.nan),
                 "stats": numpy.full(2, numpy.nan), "top": top}
        loss, dlogits = numpy.full(1, numpy.nan), numpy.full((N, V), numpy.nan)
        call("cross_entropy_forward", **given, loss=loss)
        assert_close(loss[0], mean_loss(**inputs), "loss")
        hits = inputs["logits"].argmax(axis=1) == targets
        assert_close(given["stats"], [counted.sum(), (hits & counted).sum()], "stats")
        call("cross_entropy_backward", **given, l2wrap=l2wrap, dloss=numpy.array([-1.5]),
             dlogits=dlogits)
        assert_close(dlogits, -1.5 * derivative(wrapped_loss, inputs, "logits"), "dlogits")

    def test_losses_and_gradients(self):
        for case in [(1, 1, -1, 0.0, 1.0), (1, 1, 0, 0.1, 1.0), (3, 17, -1, 0.0, 1.0),
                     (33, 5, 0, 0.1, 1.0), (7, 3, 2, 0.5, 1000.0), (1, 1, -1, 0.0, 1.0, 0.3),
                     (33, 5, 0, 0.1, 1.0, 0.3)]:
            with self.subTest(case=case):
                self.compare(*case)


class TransducerTest(unittest.TestCase):
    """The loss against the sum over all alignments, its gradient against the sum's derivative."""

    def compare(self, T, U, V, blank, frames, label_lengths):
        random, B = numpy.random.default_rng(T), len(frames)
        inputs = {"logits": random.uniform(-2.0, 2.0, (B, T, U + 1, V))}
        others = [label for label in range(V) if label != blank]
        labels = random.choice(others, (B, U)).astype(numpy.int32)
        dlosses = random.normal(size=B)

        def losses(logits):
            log_p = logits - numpy.log(numpy.exp(logits).sum(axis=-1, keepdims=True))
            return numpy.stack([-numpy.log(self.alignments(log_p[b], labels[b, :label_lengths[b]],
                                                           frames[b], blank, 0, 0))
                                for b in range(B)])

        given = {"B": B, "T": T, "U": U, "V": V, "blank": blank, "logits": inputs["logits"],
                 "labels": labels, "frames": numpy.array(frames, numpy.int32),
                 "label_lengths": numpy.array(label_lengths, numpy.int32)}
        actual, dlogits = numpy.full(B, numpy.nan), numpy.full((B, T, U + 1, V), numpy.nan)
        given["alphas"], given["betas"] = numpy.full((2, B, T, U + 1), numpy.nan)
        call("transducer_forward", **given, losses=actual,
             nodes=numpy.full((B, T, U + 1, 2), numpy.nan))
        assert_close(actual, losses(**inputs), "losses")
        call("transducer_backward", **given, fastemit_lambda=0.0, dlosses=dlosses, dlogits=dlogits)
        assert_close(dlogits, derivative(lambda logits: (dlosses * losses(logits)).sum(), inputs,
                                         "logits"), "dlogits")

    def alignments(self, log_p, labels, frames, blank, t, u):
        """The sum of the probabilities of all ways from (t, u) to the end."""
        by_blank = numpy.exp(log_p[t, u, blank])
        if t + 1 < frames:
            total = by_blank * self.alignments(log_p, labels, frames, blank, t + 1, u)
        else:
            total = by_blank if u == len(labels) else 0.0
        if u < len(labels):
            by_label = numpy.exp(log_p[t, u, labels[u]])
            total = total + by_label * self.alignments(log_p, labels, frames, blank, t, u + 1)
        return total

    def test_losses_and_gradients(self):
        for case in [(1, 0, 2, 0, [1], [0]), (1, 3, 2, 1, [1], [3]), (4, 1, 3, 0, [4, 2], [1, 0]),
                     (3, 2, 4, 3, [3, 1, 2], [2, 1, 2])]:
            with self.subTest(case=case):
                self.compare(*case)


class AdamTest(unittest.TestCase):
    def compare(self, n, decayed, clip, norm_squared, ranges=()):
        random = numpy.random.default_rng(n)
        beta1, beta2, eps, decay, lr, grad_scale = 0.9, 0.99, 1e-6, 0.1, 0.01, 0.5
        parameter, m, v = random.normal(size=n), numpy.zeros(n), numpy.zeros(n)
        expected, mean, square = parameter.copy(), numpy.zeros(n), numpy.zeros(n)
        table = numpy.array(list(ranges), [("end", "i8"), ("factor", "f8")])
        factors = numpy.ones(n)
        for end, factor in reversed(ranges):
            factors[:end] = factor
        for step in range(1, 4):
            grad = random.normal(size=n)
            call("adam", n=n, decayed=decayed, beta1=beta1, beta2=beta2, eps=eps,
                 weight_decay=decay, grad_scale=grad_scale, clip=clip,
                 parameter=parameter, grad=grad, m=m, v=v,
                 norm_squared=None if norm_squared is None else numpy.array([norm_squared]),
                 ranges=table if ranges else None, range_count=len(ranges),
                 rates=numpy.array([lr, 1.0 - beta1**step, 1.0 - beta2**step]))
            if norm_squared is not None and not numpy.isfinite(norm_squared):
                continue
            norm = 0.0 if norm_squared is None else norm_squared**0.5
            grad = grad * (clip / norm if 0.0 < clip < grad_scale * norm else grad_scale)
            mean = mean + (1.0 - beta1) * (grad - mean)
            square = square + (1.0 - beta2) * (grad**2 - square)
            corrected = mean / (1.0 - beta1**step), square / (1.0 - beta2**step)
            rates = lr * factors
            expected -= rates * decay * numpy.where(numpy.arange(n) < decayed, expected, 0.0)
            expected -= rates * corrected[0] / (numpy.sqrt(corrected[1]) + eps)
        assert_close(parameter, expected, "parameter")
        assert_close(m, mean, "m")
        assert_close(v, square, "v")

    def test_updates(self):
        for case in [(0, 0, 0.0, None), (1, 1, 1.0, None), (7, 3, 0.0, 36.0), (7, 0, 1.5, 36.0),
                     (7, 7, 4.0, 36.0), (3, 3, 1.0, numpy.inf), (3, 3, 0.0, numpy.nan),
                     (7, 4, 0.0, None, [(2, 2.0), (5, 0.5), (7, 0.0)])]:
            with self.subTest(case=case):
                self.compare(*case)


if __name__ == "__main__":
    unittest.main()
