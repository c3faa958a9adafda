"""What axe-core finds on an open page against the WCAG 2.2 rules A and AA."""

from axe_playwright_python.sync_playwright import Axe

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,  # it asks for the style sheets anew, which fails from disk
}
# Half of the time went to parts in which nothing can be found: the glyphs of a formula,
# drawn by style sheets and hidden from screen readers (its copy for them stays), and
# in a block of code the tokens that look like one before them.
PUT_ASIDE = """() => {
    const aside = [];
    const put = (element, instead) => {
        aside.push([element, instead]);
        element.replaceWith(instead);
    };
    for (const glyphs of document.querySelectorAll("mjx-math, mjx-assistive-mml > math > *"))
        put(glyphs, document.createComment("glyphs"));
    for (const block of document.querySelectorAll("pre")) {
        const kinds = new Set();
        for (const token of block.querySelectorAll("span:not(:has(*)):not(a span)"))
            if (kinds.has(token.className))
                put(token, document.createTextNode(token.textContent));
            else kinds.add(token.className);
    }
    window.putBack = () => {
        for (const [element, instead] of aside) instead.replaceWith(element);
    };
}"""


def barriers(page, context: str | None = None) -> list[str]:
    """The violations, in the theme that is shown; within a selector, if one is given."""
    page.evaluate(PUT_ASIDE)
    response = Axe().run(page, context=context, options=RULES).response
    page.evaluate("putBack()")
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in response["violations"]
        for node in rule["nodes"]
    ]
