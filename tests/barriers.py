"""What axe-core finds on an open page against the WCAG 2.2 rules A and AA."""

from axe_playwright_python.sync_playwright import Axe

OPTIONS = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,  # it asks for the style sheets anew, which fails from disk
}
# Most of the time went to what cannot tell anything new. Contrast is judged for three
# texts of each look: colour, size and weight on the same backgrounds. Put aside are the
# inside of formulas (glyphs, drawn by style sheets, and nested MathML), and the colours
# of code that are not judged, hundreds of elements a listing.
AUDIT = r"""async ([context, options]) => {
    const aside = [], looks = new Map(), grounds = new Map();
    const putAside = (element, instead) => {
        aside.push([element, instead]);
        element.replaceWith(instead);
    };
    const inside = "mjx-math, mjx-assistive-mml > math > *";
    for (const element of document.querySelectorAll(inside))
        putAside(element, document.createComment(""));
    const ground = element => {
        if (!element) return "";
        if (!grounds.has(element)) {
            const { backgroundColor, backgroundImage, opacity, filter }
                = getComputedStyle(element);
            const own = [backgroundColor, backgroundImage, opacity, filter].join();
            const below = ground(element.parentElement);
            const clear = own == "rgba(0, 0, 0, 0),none,1,none";
            grounds.set(element, clear ? below : `${below}/${own}`);
        }
        return grounds.get(element);
    };
    const judged = document.querySelector(context ?? "body");
    for (const element of judged.querySelectorAll("*")) {
        const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
        const { width, height } = element.getBoundingClientRect();
        const says = element.matches("input, select, textarea")
            || [...element.childNodes].some(
                ({ nodeType, data }) => nodeType == Node.TEXT_NODE
                    && data.trim().length > 1 && /[\p{L}\p{N}]/u.test(data));
        if (!says || !element.checkVisibility() || Math.min(width, height) <= 1)
            continue;  // axe judges no single sign, and nothing hidden
        const able = !element.closest("[disabled], [aria-disabled=true]");
        const look = [
            color, fontSize, fontWeight, textShadow, able, ground(element)].join();
        looks.set(look, (looks.get(look) ?? 0) + 1);
        if (looks.get(look) <= 3) element.dataset.look = "";
    }
    for (const word of judged.querySelectorAll("pre span"))
        if (word.getAttributeNames().join() == "class" && !word.children.length)
            putAside(word, document.createTextNode(word.textContent));
    axe.configure({ rules: [{ id: "color-contrast", selector: "[data-look]" }] });
    const { violations } = await axe.run(context ?? document, options);
    for (const element of document.querySelectorAll("[data-look]"))
        delete element.dataset.look;
    for (const [element, instead] of aside) instead.replaceWith(element);
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) =>
        `${id}: ${html.slice(0, 120)} ${failureSummary.slice(0, 300)}`));
}"""


def barriers(page, context: str | None = None) -> list[str]:
    """The violations in the theme that is shown, within this selector if there is one.

    Of places that look alike the first three alone are named for their contrast.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    return page.evaluate(AUDIT, [context, OPTIONS])
