using System.Security.Cryptography;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace EventVault.Node.Tests.Support;

/// <summary>Whoever makes tokens. Each key has a name of its own.</summary>
internal sealed class TokenSigner(string algorithm = "ES256") : IDisposable
{
    public const string Issuer = "https://issuer.example";

    private readonly List<IDisposable> _made = [];
    private volatile SecurityKey? _key;
    private SecurityKey? _next;

    public void Dispose() => _made.ForEach(static k => k.Dispose());

    /// <summary>A key for later; returns a token of it.</summary>
    public string Announce()
    {
        _next = NewKey();
        return Token("worker", credentials: new SigningCredentials(_next, algorithm));
    }

    /// <summary>From now on with the announced key; returns a token of the old one.</summary>
    public string Switch()
    {
        var old = Token("worker");
        (_key, _next) = (_next, null);
        return old;
    }

    public string Token(
        string user, string audience = "vault", string issuer = Issuer, DateTime? ends = null, DateTime? begins = null, string[]? roles = null, SigningCredentials? credentials = null)
    {
        var claims = new Dictionary<string, object> { ["sub"] = user };
        if (roles is not null)
        {
            claims["roles"] = roles;
        }

        return new JsonWebTokenHandler { SetDefaultTimesOnTokenCreation = false }.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = issuer,
            Audience = audience,
            Claims = claims,
            NotBefore = begins ?? DateTime.UtcNow.AddMinutes(-5),
            IssuedAt = DateTime.UtcNow,
            Expires = ends ?? DateTime.UtcNow.AddMinutes(10),
            SigningCredentials = credentials ?? new SigningCredentials(_key ??= NewKey(), algorithm),
        });
    }

    public string Unsigned(string user)
    {
        var parts = Token(user).Split('.');
        return $"{Base64UrlEncoder.Encode("""{"alg":"none","typ":"JWT"}""")}.{parts[1]}.";
    }

    /// <summary>What who knows only the public key can make: HMAC with it as the secret.</summary>
    public string SignedWithPublicKey(string user)
    {
        var key = new SymmetricSecurityKey(System.Text.Encoding.UTF8.GetBytes(KeySet())) { KeyId = (_key ??= NewKey()).KeyId };
        return Token(user, credentials: new SigningCredentials(key, "HS256"));
    }

    public string KeySet()
    {
        var keys = new[] { _key ??= NewKey(), _next }.OfType<SecurityKey>().Select(Public);
        return System.Text.Json.JsonSerializer.Serialize(new { keys });
    }

    private static Dictionary<string, string?> Public(SecurityKey key)
    {
        var web = JsonWebKeyConverter.ConvertFromSecurityKey(key is RsaSecurityKey rsa ? new RsaSecurityKey(rsa.Rsa.ExportParameters(false)) { KeyId = key.KeyId }
            : key is ECDsaSecurityKey ec ? new ECDsaSecurityKey(ECDsa.Create(ec.ECDsa.ExportParameters(false))) { KeyId = key.KeyId } : key);
        var members = new Dictionary<string, string?> { ["kty"] = web.Kty, ["kid"] = key.KeyId, ["k"] = web.K, ["n"] = web.N, ["e"] = web.E, ["crv"] = web.Crv, ["x"] = web.X, ["y"] = web.Y };
        return members.Where(m => m.Value is not null).ToDictionary();
    }

    private SecurityKey NewKey()
    {
        var id = Guid.NewGuid().ToString("N");
        switch (algorithm)
        {
            case "HS256":
                return new SymmetricSecurityKey(RandomNumberGenerator.GetBytes(32)) { KeyId = id };
            case "RS256":
                var rsa = RSA.Create(2048);
                _made.Add(rsa);
                return new RsaSecurityKey(rsa) { KeyId = id };
            default:
                var ec = ECDsa.Create(ECCurve.NamedCurves.nistP256);
                _made.Add(ec);
                return new ECDsaSecurityKey(ec) { KeyId = id };
        }
    }
}
