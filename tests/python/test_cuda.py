"""mixtape.wkv on PyTorch's streams and in its CUDA graphs. Needs a GPU."""

import unittest

import test_operator


def setUpModule():
    test_operator.setUpModule()
    global torch, mixtape
    import torch

    import mixtape


def problem(T, C):
    return test_operator.arguments(2, T, C, torch.float32, "cuda")


def results(given):
    """The output, and the gradients of its squares' sum."""
    output, _ = mixtape.wkv(*given)
    return (output.detach(), *torch.autograd.grad(output.square().sum(), given))


class CudaTest(unittest.TestCase):
    def assert_same(self, found, expected):
        for a, b in zip(found, expected):
            self.assertTrue(torch.equal(a, b))

    def test_a_graph_is_captured_and_replayed(self):
        given, other = problem(300, 5), problem(700, 5)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            results(given)  # opens the device, and brings the kernels there
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = results(given)
        with torch.no_grad():
            given[2].copy_(given[2].flip(1))
        expected = results(given)
        results(other)
        graph.replay()
        self.assert_same(captured, expected)

    def test_streams_do_not_disturb_one_another(self):
        problems = [problem(3000, channels) for channels in (5, 64)]
        expected = [results(given) for given in problems]
        streams = [torch.cuda.Stream() for _ in problems]
        torch.cuda.synchronize()
        for _ in range(20):
            found = []
            for given, stream in zip(problems, streams):
                with torch.cuda.stream(stream):
                    found.append(results(given))
        torch.cuda.synchronize()
        for i in range(2):
            self.assert_same(found[i], expected[i])


if __name__ == "__main__":
    unittest.main()
