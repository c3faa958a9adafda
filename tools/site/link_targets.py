"""Sphinx extension: a Markdown link may name an equation, theorem or figure of a page.

`[ELBO](../book/03-elbo.md#eq-elbo)` is how a notebook, which is plain Markdown, points
to what is numbered there. MyST knows headings alone as such targets; this adds the
labels of equations, theorems and figures. A link to a label that is not there still
fails the build.
"""

from docutils import nodes


def add_labels(app, env):
    """Give every page what is numbered on it as link targets, beside its headings."""
    anchors = [
        (page, label, anchor)
        for label, (page, anchor) in env.get_domain("std").anonlabels.items()
    ]
    for label, (page, _) in env.get_domain("math").equations.items():
        anchors.append((page, label, nodes.make_id(f"equation-{label}")))
    for label, statement in env.proof_list.items():
        anchors.append((statement["docname"], label, statement["ids"][0]))
    for page, label, anchor in anchors:
        if page not in env.all_docs:
            continue  # Sphinx's own labels: the index, the search page
        targets = env.metadata[page].setdefault("myst_slugs", {})
        targets[label] = (0, anchor, label)


def setup(app):
    app.connect("env-updated", add_labels)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
