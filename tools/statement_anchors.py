"""Sphinx extension: a Markdown link may name an equation or a theorem of another page.

`[ELBO](../book/03-elbo.md#eq-elbo)` is how a notebook, which is plain Markdown, points to
a numbered statement. MyST knows headings alone as such targets; this adds the labels of
equations and of theorems, so that a link to a label that is not there fails the build.
"""

from docutils import nodes


def add_statements(app, env):
    """Give every page its statements as link targets, beside its headings."""
    anchors = [
        (page, label, nodes.make_id(f"equation-{label}"))
        for label, (page, _) in env.get_domain("math").equations.items()
    ]
    for label, statement in env.proof_list.items():
        anchors.append((statement["docname"], label, statement["ids"][0]))
    for page, label, anchor in anchors:
        targets = env.metadata[page].setdefault("myst_slugs", {})
        targets[label] = (0, anchor, label)


def setup(app):
    app.connect("env-updated", add_statements)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
