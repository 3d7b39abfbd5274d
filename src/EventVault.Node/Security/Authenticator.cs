// Who calls: by user and password (Basic), by token (Bearer), or by the certificate of the TLS handshake, in this order. What was found out
// about a header is kept for some minutes under a keyed hash of it, so that a password is not hashed with each call; whatever it rests on (the
// stored hash, the keys of tokens) is compared with each call.
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using EventVault.Node.Services;

namespace EventVault.Node.Security;

/// <summary>Finds out who calls. Safe for concurrent use.</summary>
/// <param name="registry">The vault's users; null: the node has no vault yet, and knows only built-in administrators.</param>
/// <param name="adminPassword">The password of the built-in administrator; null: it has none.</param>
/// <param name="tokens">Null: no token counts.</param>
/// <param name="passwords">Checks passwords.</param>
internal sealed class Authenticator(AccessRegistry? registry, FileValue<PasswordHash>? adminPassword, Tokens? tokens, PasswordChecks passwords)
{
    /// <summary>As many different credentials as may be known at once: some hundred bytes each.</summary>
    private const int MostKnown = 10_000;

    /// <summary>More than any password or token is long.</summary>
    private const int MostHeaderBytes = 16 * 1024;

    /// <summary>How long a header is known: a password is checked anew that often.</summary>
    private const long KnownForMs = 5 * 60 * 1000;

    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32); // Of this process: what is kept is of no use elsewhere.
    private readonly ConcurrentDictionary<UInt128, Known> _known = new();
    private readonly ConcurrentDictionary<UInt128, Lazy<Task<Caller>>> _pending = new();

    /// <summary>Who calls.</summary>
    /// <param name="authorization">The header; null: none came.</param>
    /// <param name="certificate">What the TLS handshake has accepted; null: nothing.</param>
    /// <exception cref="Rpc.RpcException">UNAUTHENTICATED: there is nothing, or it is wrong. RESOURCE_EXHAUSTED: too many passwords are being checked.</exception>
    public ValueTask<Caller> FindAsync(string? authorization, X509Certificate2? certificate)
    {
        if (authorization is null)
        {
            return certificate is null ? throw Errors.NoCredentials().ToException() : ValueTask.FromResult(OfCertificate(certificate));
        }

        if (authorization.Length > MostHeaderBytes)
        {
            throw Errors.BadCredentials().ToException();
        }

        var id = IdOf(authorization);
        return TryFind(id, out var known)
            ? ValueTask.FromResult(known)
            : new ValueTask<Caller>(CheckOnceAsync(id, authorization));
    }

    /// <summary>Whether somebody is still who it was found to be.</summary>
    public bool Holds(Caller caller)
    {
        if (caller.EndsAt <= DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() || (caller.TokenKeys is { } keys && keys != tokens!.CurrentKeys))
        {
            return false;
        }

        return caller.Password is not { } password || password == PasswordOf(caller.Name);
    }

    private PasswordHash? PasswordOf(string name) => name == Caller.AdminName
        ? adminPassword?.Current
        : registry?.Current() is { IsReadable: true } state && state.Users.TryGetValue(name, out var user) ? user.Password : null;

    // One check for all calls that bring the same header at once: a client that connects sends several.
    private async Task<Caller> CheckOnceAsync(UInt128 id, string authorization)
    {
        var check = _pending.GetOrAdd(id, _ => new Lazy<Task<Caller>>(() => CheckAndKeepAsync(id, authorization)));
        try
        {
            return await check.Value;
        }
        finally
        {
            _pending.TryRemove(KeyValuePair.Create(id, check));
        }
    }

    private async Task<Caller> CheckAndKeepAsync(UInt128 id, string authorization)
    {
        if (!TryFind(id, out var caller)) // It may have become known since.
        {
            caller = await CheckAsync(authorization);
            Keep(id, caller);
        }

        return caller;
    }

    private bool TryFind(UInt128 id, [NotNullWhen(true)] out Caller? caller)
    {
        var now = Environment.TickCount64;
        caller = _known.TryGetValue(id, out var known) && known.Until > now && Holds(known.Caller) ? known.Caller : null;
        if (caller is { TokenKeys: null } && known!.Until - now < KnownForMs / 2)
        {
            // A password that is in use stays known: what it rests on was compared just now, and whoever floods the node with wrong ones
            // must not shut out those who are in.
            _known.TryUpdate(id, known with { Until = now + KnownForMs }, known);
        }

        return caller is not null;
    }

    private async Task<Caller> CheckAsync(string authorization)
    {
        var space = authorization.IndexOf(' ', StringComparison.Ordinal);
        var (scheme, value) = space < 0 ? (authorization, string.Empty) : (authorization[..space], authorization[(space + 1)..].Trim());
        if (scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase) && tokens is not null)
        {
            var (caller, wrong) = await tokens.CheckAsync(value);
            return caller ?? throw Errors.BadToken(wrong).ToException();
        }

        if (!scheme.Equals("Basic", StringComparison.OrdinalIgnoreCase) || !TryReadBasic(value, out var name, out var password))
        {
            throw Errors.BadCredentials().ToException();
        }

        // The same work for whoever is not known: nobody learns who is.
        var stored = PasswordOf(name);
        return await passwords.MatchesAsync(stored, password)
            ? new Caller(name) { Password = stored, IsBuiltIn = name == Caller.AdminName }
            : throw Errors.BadCredentials().ToException();
    }

    private static bool TryReadBasic(string value, out string name, out byte[] password)
    {
        (name, password) = (string.Empty, []);
        var bytes = new byte[value.Length];
        if (!Convert.TryFromBase64String(value, bytes, out var length) || bytes.AsSpan(0, length).IndexOf((byte)':') is not (>= 0 and var colon))
        {
            return false;
        }

        name = Encoding.UTF8.GetString(bytes, 0, colon);
        password = bytes[(colon + 1)..length];
        return true;
    }

    // The handshake has looked at it: an authority that is trusted with users has signed it.
    private static Caller OfCertificate(X509Certificate2 certificate)
    {
        var name = CommonName(certificate) ?? string.Empty;
        return UserNames.Problem(name) is null
            ? new Caller(name) { IsBuiltIn = name == Caller.AdminName, EndsAt = new DateTimeOffset(certificate.NotAfter).ToUnixTimeMilliseconds() }
            : throw Errors.BadCredentials().ToException();
    }

    // Null: it has none, or several. The library's simple name would take an organisation or an e-mail address for it.
    private static string? CommonName(X509Certificate2 certificate)
    {
        const string Oid = "2.5.4.3"; // RFC 4519, section 2.3
        var names = certificate.SubjectName.EnumerateRelativeDistinguishedNames()
            .Where(n => !n.HasMultipleElements && n.GetSingleElementType().Value == Oid).Select(n => n.GetSingleElementValue()).ToList();
        return names is [var name] ? name : null;
    }

    private void Keep(UInt128 id, Caller caller)
    {
        var now = Environment.TickCount64;
        if (_known.Count >= MostKnown)
        {
            foreach (var (old, known) in _known)
            {
                if (known.Until <= now)
                {
                    _known.TryRemove(old, out _);
                }
            }

            if (_known.Count >= MostKnown)
            {
                _known.Clear(); // Whoever comes again is checked again.
            }
        }

        _known[id] = new Known(caller, now + KnownForMs);
    }

    private UInt128 IdOf(string authorization)
    {
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(authorization), hash);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    private sealed record Known(Caller Caller, long Until);
}
