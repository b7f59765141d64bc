"""How deep the layers of a network lie below its head, counted in the endpoints of its family."""


def depths(model, family):
    """Returns {name of a layer: depth of its stage}, of all layers of a graph.

    A stage is what an endpoint ends: a layer belongs to the first endpoint downstream of it. What comes after the last
    endpoint but the logits is the head, of depth 0. Any other stage is one deeper than the deepest that reads its
    endpoint, so that the same stages of two streams, side by side, are of one depth.

    Args:
        model: a functional model of the family.
        family: its Family.
    """
    ends, found = set(family.endpoints[:-2]), {}
    readers = {}  # id of a tensor: depths of the stages that read it
    for depth in sorted(model._nodes_by_depth):  # from the outputs up
        for node in model._nodes_by_depth[depth]:
            name = node.operation.name
            own = max((deep for tensor in node.outputs for deep in readers.get(id(tensor), ())), default=0)
            own = max(own + (name in ends), found.get(name, 0))
            found[name] = own
            for tensor in () if node.is_input else node.input_tensors:
                readers.setdefault(id(tensor), []).append(own)
    return found


def depth_of(endpoint, model, family):
    """Returns the depth of the stage that an endpoint ends, or raises ValueError with the endpoints there are."""
    if endpoint in family.endpoints[-2:]:
        return 0
    found = depths(model, family)
    if endpoint not in family.endpoints or endpoint not in found:
        raise ValueError(
            f"{family.name} has the endpoints {', '.join(family.endpoints)}. Received: {endpoint!r}. Name one of them."
        )
    return found[endpoint]


def factors(model, family, decay):
    """Returns {name of a layer with weights: decay ** its place}, the head's place being 0.

    Places are counted in the stages that have weights, so that a pool, an endpoint without any, has no part in it.
    """
    found = depths(model, family)
    weighted = [layer.name for layer in model.layers if layer.weights]
    places = {deep: place for place, deep in enumerate(sorted({0, *(found[name] for name in weighted)}))}
    return {name: decay ** places[found[name]] for name in weighted}
