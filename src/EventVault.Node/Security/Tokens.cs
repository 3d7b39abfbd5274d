// Bearer tokens: JWTs (RFC 7519) that somebody else has signed. The keys come from a JWKS (RFC 7517), a file or a URL, such as the jwks_uri of an
// OpenID provider. What is checked: the signature by a key of the set, by an algorithm that fits the key; issuer; audience; that it has begun
// and not ended, with a minute for clocks that differ.
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace EventVault.Node.Security;

/// <summary>Which tokens count, and what is read from them.</summary>
internal sealed record TokenOptions
{
    /// <summary>File or URL of the JWKS.</summary>
    public required string Keys { get; init; }

    /// <summary>Who must have made it (claim <c>iss</c>).</summary>
    public required string Issuer { get; init; }

    /// <summary>Whom it must be for (claim <c>aud</c>).</summary>
    public required string Audience { get; init; }

    /// <summary>Claim with the name of the user.</summary>
    public string UserClaim { get; init; } = "sub";

    /// <summary>Claim with names of roles that the token gives; null: it gives none, the user has those that the vault knows.</summary>
    public string? RolesClaim { get; init; }
}

/// <summary>Checks tokens. Safe for concurrent use.</summary>
internal sealed class Tokens(TokenOptions options, TokenKeys keys)
{
    /// <summary>Beyond it a token is refused unread: headers of requests are not much longer.</summary>
    private const int MostBytes = 16 * 1024;

    /// <summary>How far clocks may differ.</summary>
    private static readonly TimeSpan Leeway = TimeSpan.FromMinutes(1);

    private static readonly string[] Algorithms = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"];

    private readonly JsonWebTokenHandler _handler = new() { MaximumTokenSizeInBytes = MostBytes, MapInboundClaims = false };

    /// <summary>The keys that count now: another object whenever they have changed.</summary>
    public object CurrentKeys => keys.Current;

    /// <summary>Checks a token.</summary>
    /// <returns>Who has sent it; or what is wrong with it.</returns>
    public async Task<(Caller? Caller, string Wrong)> CheckAsync(string token)
    {
        var set = await keys.GetAsync();
        var result = await ValidateAsync(token, set);
        if (result.Exception is SecurityTokenSignatureKeyNotFoundException && await keys.GetNewerAsync(set) is { } newer && newer != set)
        {
            // Whoever signs has a new key, and told the world of it: so it is asked.
            set = newer;
            result = await ValidateAsync(token, set);
        }

        if (!result.IsValid)
        {
            return (null, result.Exception switch
            {
                SecurityTokenExpiredException => "it has ended",
                SecurityTokenNotYetValidException => "it has not begun",
                SecurityTokenInvalidAudienceException => "it is for another audience",
                SecurityTokenInvalidIssuerException => "it is of another issuer",
                _ => "its form or its signature is wrong",
            });
        }

        var claims = result.ClaimsIdentity;
        var name = claims.FindFirst(options.UserClaim)?.Value ?? string.Empty;
        if (UserNames.Problem(name) is not null || name == Caller.AdminName)
        {
            return (null, $"its claim {options.UserClaim} names nobody that a token can stand for");
        }

        // As numbers: a time behind the last one that the type has would be no answer.
        var ends = new DateTimeOffset(DateTime.SpecifyKind(result.SecurityToken.ValidTo, DateTimeKind.Utc)).ToUnixTimeMilliseconds() + (long)Leeway.TotalMilliseconds;
        var roles = options.RolesClaim is { } claim ? claims.FindAll(claim).Select(static c => c.Value).ToArray() : [];
        return (new Caller(name) { TokenRoles = roles, TokenKeys = set, EndsAt = ends }, string.Empty);
    }

    private Task<TokenValidationResult> ValidateAsync(string token, JsonWebKeySet set) => _handler.ValidateTokenAsync(token, new TokenValidationParameters
    {
        ValidIssuer = options.Issuer,
        ValidAudience = options.Audience,
        ValidAlgorithms = Algorithms,
        IssuerSigningKeys = set.Keys,
        RequireExpirationTime = true,
        RequireSignedTokens = true,
        TryAllIssuerSigningKeys = true,
        ClockSkew = Leeway,
    });
}
