"""The book's Gaussian identities as sympy expressions, and what proves them.

A statement is proved when ``residual(left, right)`` is exactly zero for symbols: one
side is the closed form, the other the integral or the moments that define it.
Vectors are sequences or column matrices of symbols; scales are declared positive.
Each function raises ValueError where it is given something else.
"""

from collections.abc import Sequence

import sympy
from sympy import Expr, Matrix, Symbol

from vae_lib.domains import require


def residual(left: Expr, right: Expr) -> Expr:
    """What remains of left - right after simplification: exactly 0 if they agree.

    Anything else may also mean that sympy found no way to simplify it: to refute a
    statement, put in numbers.
    """
    left, right = _scalar("left", left), _scalar("right", right)
    return sympy.simplify(sympy.expand_log(sympy.expand(left - right)))


def gaussian_log_density(z: Symbol, mu: Expr, sigma: Expr) -> Expr:
    """Log density of N(mu, sigma^2) at z, all scalars.

    Book: eq-gaussian-log-prob. Source: the definition of the normal density.
    """
    z, mu, sigma = _scalar("z", z), _scalar("mu", mu), _scale(sigma)
    return -(sympy.log(2 * sympy.pi * sigma**2) + ((z - mu) / sigma) ** 2) / 2


def gaussian_expectation(expression: Expr, z: Symbol, mu: Expr, sigma: Expr) -> Expr:
    """Expectation of an expression in z under N(mu, sigma^2): the integral itself.

    Args:
        expression: a polynomial in z, possibly times the exponential of one.
        z: real symbol over which the integral runs, from -oo to oo.
        mu: the mean.
        sigma: the standard deviation, declared positive.

    Book: eq-gaussian-expectation. Source: the definition of the expectation.
    """
    require(isinstance(z, Symbol), "z to be a symbol", z)
    expression = _scalar("expression", expression)
    density = sympy.exp(gaussian_log_density(z, mu, sigma))
    integrand = sympy.expand(expression) * density
    return sympy.simplify(sympy.integrate(integrand, (z, -sympy.oo, sympy.oo)))


def quadratic_expectation(
    expression: Expr, x: Sequence[Symbol], mean: Matrix, covariance: Matrix
) -> Expr:
    """Expectation of a polynomial of degree two in x, from two moments alone.

    No distribution is assumed: E[x_i] = mean_i and E[x_i x_j] = mean_i mean_j +
    covariance_ij are all that is used.

    Args:
        expression: polynomial in the symbols x, of degree at most two.
        x: the J symbols of the random vector.
        mean: of the vector, (J, 1).
        covariance: of the vector, (J, J).

    Raises ValueError if it is no such polynomial.
    Book: eq-quadratic-form. Source: the definition of the covariance.
    """
    x = list(x) if isinstance(x, Sequence | sympy.MatrixBase) else x
    symbols = isinstance(x, list) and all(isinstance(s, Symbol) for s in x)
    require(symbols and len(x) > 0, "x to be symbols, at least one", x)
    _check_moments(mean, covariance, len(x))
    expression = _scalar("expression", expression)
    require(expression.is_polynomial(*x), "a polynomial in x", expression)
    polynomial = sympy.Poly(expression, *x)
    if polynomial.total_degree() > 2:
        degree = polynomial.total_degree()
        raise ValueError(f"expected a polynomial of degree at most 2, got {degree}")
    total = sympy.Integer(0)
    for powers, coefficient in polynomial.terms():
        factors = [i for i, power in enumerate(powers) for _ in range(power)]
        moment = sympy.prod(mean[i] for i in factors)
        if len(factors) == 2:
            moment += covariance[factors[0], factors[1]]
        total += coefficient * moment
    return total


def quadratic_form_mean(a: Matrix, mean: Matrix, covariance: Matrix) -> Expr:
    """Mean of the quadratic form X' A X: mean' A mean + tr(A covariance).

    Args:
        a: any (J, J) matrix, symmetric or not.
        mean: of X, (J, 1); X need not be Gaussian.
        covariance: of X, (J, J).

    Book: eq-quadratic-form. Source: the report, Eq. 4, in greater generality.
    """
    _check_moments(mean, covariance)
    _check_matrix("a", a, (len(mean), len(mean)))
    return (mean.T * a * mean)[0] + (a * covariance).trace()


def gaussian_kl(mu: Sequence[Expr], sigma: Sequence[Expr]) -> Expr:
    """KL divergence from N(mu, diag(sigma^2)) to N(0, I), in nats, as a sum over J.

    Book: eq-gaussian-kl. Source: Kingma & Welling (2014), Appendix B.
    """
    vectors = all(isinstance(v, Sequence | sympy.MatrixBase) for v in (mu, sigma))
    fit = vectors and len(mu) == len(sigma) > 0
    require(fit, "mu and sigma of one length, at least 1", (mu, sigma))
    mu, sigma = [_scalar("mu", m) for m in mu], [_scale(s) for s in sigma]
    terms = (1 + sympy.log(s**2) - m**2 - s**2 for m, s in zip(mu, sigma, strict=True))
    return -sum(terms) / 2


def gaussian_kl_trace(mu: Matrix, covariance: Matrix) -> Expr:
    """KL divergence from N(mu, covariance) to N(0, I), by trace and log determinant.

    Book: eq-gaussian-kl-trace. Source: the lecture slides, Eq. 2.
    """
    _check_moments(mu, covariance)
    log_det = sympy.log(covariance.det())
    return (covariance.trace() + mu.dot(mu) - len(mu) - log_det) / 2


def gaussian_kl_general(
    mu_q: Matrix, covariance_q: Matrix, mu_p: Matrix, covariance_p: Matrix
) -> Expr:
    """KL divergence from N(mu_q, covariance_q) to N(mu_p, covariance_p), in nats.

    Book: eq-gaussian-kl-general. Source: proved in the book, chapter 4.
    """
    _check_moments(mu_q, covariance_q)
    _check_moments(mu_p, covariance_p, len(mu_q))
    require(covariance_p.det() != 0, "covariance_p with an inverse", covariance_p)
    precision, difference = covariance_p.inv(), mu_p - mu_q
    log_ratio = sympy.log(covariance_p.det() / covariance_q.det())
    distance = (difference.T * precision * difference)[0]
    trace = (precision * covariance_q).trace()
    return (trace + distance - len(mu_q) + log_ratio) / 2


def _scalar(name: str, value: Expr) -> Expr:
    """A sympy expression, or a number as one."""
    sort = isinstance(value, Expr | int | float) and not isinstance(value, bool)
    require(sort, f"{name} to be an expression of sympy", value)
    return sympy.sympify(value)


def _scale(sigma: Expr) -> Expr:
    """A standard deviation, which sympy must not know to be zero, negative or not real.

    A symbol must be declared positive, for else its logarithm does not simplify.
    """
    sigma = _scalar("sigma", sigma)
    unknown = sigma.is_positive is None and not isinstance(sigma, Symbol)
    require(sigma.is_positive or unknown, "sigma declared positive", sigma)
    return sigma


def _check_matrix(name: str, value: Matrix, shape: tuple[int, int]) -> None:
    """Raise ValueError unless it is a matrix of sympy of this shape."""
    fits = isinstance(value, sympy.MatrixBase) and value.shape == shape
    got = getattr(value, "shape", value)
    require(fits, f"{name} to be a matrix of sympy of shape {shape}", got)


def _check_moments(mean: Matrix, covariance: Matrix, j: int | None = None) -> None:
    """Raise ValueError unless these are a mean (J, 1) and a covariance (J, J)."""
    vector = isinstance(mean, sympy.MatrixBase) and mean.shape[1] == 1 and len(mean) > 0
    got = getattr(mean, "shape", mean)
    require(vector and len(mean) == (j or len(mean)), f"a mean ({j or 'J'}, 1)", got)
    _check_matrix("the covariance", covariance, (len(mean), len(mean)))
