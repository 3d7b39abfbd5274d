// Who calls: by user and password (Basic), by token (Bearer), or by the certificate of the TLS handshake, in this order. What was found out
// about a header is kept for some minutes under a keyed hash of it, so that a password is not hashed with each call; whatever it rests on (the
// stored hash, the keys of tokens, the authorities of certificates) is compared with each call.
using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;
using EventVault.Node.Services;

namespace EventVault.Node.Security;

/// <summary>Finds out who calls. Safe for concurrent use.</summary>
/// <param name="registry">The vault's users; null: the node has no vault yet, and knows only built-in administrators.</param>
/// <param name="adminPassword">The password of the built-in administrator; null: it has none.</param>
/// <param name="tokens">Null: no token counts.</param>
/// <param name="tls">Says whether certificates still count; null: clear text, so there are none.</param>
/// <param name="passwords">Checks passwords.</param>
internal sealed class Authenticator(AccessRegistry? registry, FileValue<PasswordHash>? adminPassword, Tokens? tokens, ServerTls? tls, PasswordChecks passwords)
{
    /// <summary>As many different credentials as may be known at once: some hundred bytes each.</summary>
    private const int MostKnown = 10_000;

    /// <summary>More than any password or token is long.</summary>
    private const int MostHeaderBytes = 16 * 1024;

    /// <summary>How long a header is known: a password is checked anew that often.</summary>
    private const long KnownForMs = 5 * 60 * 1000;

    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32); // Of this process: what is kept is of no use elsewhere.
    private readonly ConcurrentDictionary<UInt128, Known> _known = new();
    private readonly ConcurrentDictionary<UInt128, PendingCheck> _pending = new();

    /// <summary>Calls that wait for a check; for tests.</summary>
    public int WaitingCalls => _pending.Values.Sum(static c => c.Waiting);

    /// <summary>Who calls.</summary>
    /// <param name="origin">What the call shows.</param>
    /// <exception cref="Rpc.RpcException">UNAUTHENTICATED: there is nothing, or it is wrong. RESOURCE_EXHAUSTED: too many passwords are being checked.</exception>
    /// <exception cref="OperationCanceledException">The call is gone.</exception>
    public ValueTask<Caller> FindAsync(CallOrigin origin)
    {
        if (origin.Authorization is not { } authorization)
        {
            // The handshake has looked at it: an authority that is trusted with users has signed it.
            var shown = origin.Certificate ?? throw Errors.NoCredentials().ToException();
            return ValueTask.FromResult(shown.User ?? throw Errors.BadCredentials().ToException());
        }

        if (authorization.Length > MostHeaderBytes)
        {
            throw Errors.BadCredentials().ToException();
        }

        var id = IdOf(authorization);
        return TryFind(id, out var known)
            ? ValueTask.FromResult(known)
            : new ValueTask<Caller>(CheckOnceAsync(id, authorization, origin));
    }

    /// <summary>Whether somebody is still who it was found to be.</summary>
    public bool Holds(Caller caller)
    {
        if (caller.EndsAt <= DateTimeOffset.UtcNow.ToUnixTimeMilliseconds() || (caller.TokenKeys is { } keys && keys != tokens!.CurrentKeys))
        {
            return false;
        }

        return (caller.Certificate is not { } shown || tls!.Holds(shown)) && (caller.Password is not { } password || password == PasswordOf(caller.Name));
    }

    /// <summary>The user whom a header names, if there is one: what else stands there may be a password in the wrong place.</summary>
    public string? KnownNameIn(string authorization) =>
        TryReadBasic(Split(authorization).Value, out var name, out _) && (name == Caller.AdminName || registry?.Current().Users.ContainsKey(name) == true) ? name : null;

    private PasswordHash? PasswordOf(string name) => name == Caller.AdminName
        ? adminPassword?.Current
        : registry?.Current() is { IsReadable: true } state && state.Users.TryGetValue(name, out var user) ? user.Password : null;

    // One check for all calls that bring the same header at once: a client that connects sends several. It goes on while any of them waits.
    private async Task<Caller> CheckOnceAsync(UInt128 id, string authorization, CallOrigin origin)
    {
        PendingCheck check;
        while (!(check = _pending.GetOrAdd(id, _ => new PendingCheck(gone => CheckAndKeepAsync(id, authorization, origin, gone)))).TryJoin())
        {
            _pending.TryRemove(KeyValuePair.Create(id, check));
        }

        try
        {
            return await check.Caller.WaitAsync(origin.Gone);
        }
        finally
        {
            if (check.Leave())
            {
                _pending.TryRemove(KeyValuePair.Create(id, check));
                check.Dispose();
            }
        }
    }

    private async Task<Caller> CheckAndKeepAsync(UInt128 id, string authorization, CallOrigin origin, CancellationToken gone)
    {
        if (!TryFind(id, out var caller)) // It may have become known since.
        {
            caller = await CheckAsync(authorization, origin, gone);
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

    private async Task<Caller> CheckAsync(string authorization, CallOrigin origin, CancellationToken gone)
    {
        var (scheme, value) = Split(authorization);
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
        return await passwords.MatchesAsync(stored, password, origin, gone)
            ? new Caller(name) { Password = stored, IsBuiltIn = name == Caller.AdminName }
            : throw Errors.BadCredentials().ToException();
    }

    private static (string Scheme, string Value) Split(string authorization) =>
        authorization.IndexOf(' ', StringComparison.Ordinal) is >= 0 and var space ? (authorization[..space], authorization[(space + 1)..].Trim()) : (authorization, string.Empty);

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

    private void Keep(UInt128 id, Caller caller)
    {
        _known[id] = new Known(caller, Environment.TickCount64 + KnownForMs);
        if (_known.Count > MostKnown)
        {
            MakeRoom();
        }
    }

    // Without what has ended, and if that does not do, of whoever has most: one user can make as many headers of one token or password as it likes, and must
    // not make the node forget the others by it.
    private void MakeRoom()
    {
        var now = Environment.TickCount64;
        foreach (var (id, known) in _known)
        {
            if (known.Until <= now)
            {
                _known.TryRemove(id, out _);
            }
        }

        if (_known.Count > MostKnown)
        {
            var most = _known.GroupBy(static k => k.Value.Caller.Name, StringComparer.Ordinal).MaxBy(static g => g.Count())!;
            foreach (var (id, _) in most.OrderBy(static k => k.Value.Until).Take((most.Count() + 1) / 2))
            {
                _known.TryRemove(id, out _); // Whoever comes again is checked again.
            }
        }
    }

    private UInt128 IdOf(string authorization)
    {
        Span<byte> hash = stackalloc byte[HMACSHA256.HashSizeInBytes];
        HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(authorization), hash);
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(hash);
    }

    private sealed record Known(Caller Caller, long Until);

    /// <summary>A check that several calls may wait for. The last one that leaves ends it.</summary>
    private sealed class PendingCheck : IDisposable
    {
        private const int Over = -1;

        private readonly CancellationTokenSource _nobodyWaits = new();
        private readonly Lazy<Task<Caller>> _caller;
        private int _waiting;

        public PendingCheck(Func<CancellationToken, Task<Caller>> check) => _caller = new(() => check(_nobodyWaits.Token));

        /// <summary>How many calls wait for it.</summary>
        public int Waiting => Math.Max(0, Volatile.Read(ref _waiting));

        /// <summary>Who calls. Begun by the first who asks.</summary>
        public Task<Caller> Caller => _caller.Value;

        /// <summary>One more waits; false: it is over, and it takes another check.</summary>
        public bool TryJoin()
        {
            for (var waiting = Volatile.Read(ref _waiting); waiting != Over;)
            {
                if (Interlocked.CompareExchange(ref _waiting, waiting + 1, waiting) is var seen && seen == waiting)
                {
                    return true;
                }

                waiting = seen;
            }

            return false;
        }

        /// <summary>One waits no more, whether it was told or not. True: it was the last one.</summary>
        public bool Leave()
        {
            if (Interlocked.Decrement(ref _waiting) > 0 || Interlocked.CompareExchange(ref _waiting, Over, 0) != 0)
            {
                return false;
            }

            _nobodyWaits.Cancel();
            return true;
        }

        public void Dispose() => _nobodyWaits.Dispose();
    }
}
