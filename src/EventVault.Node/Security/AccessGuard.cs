// Stands before every call: who calls, and whether that is allowed. Three places:
//
//   FilterAsync     before the request is read: credentials, and what takes no look at the request
//   InspectAsync    before the handler gets the request: what the request takes; administrative acts are recorded
//   AppendRights    in the handlers of appends, which read their requests themselves
//
// Calls that stay open are looked at again once a second, when users or roles have changed and when their credentials end: those that would
// not be let in any more end with CREDENTIALS_ENDED, and clients come again with what they have by then.
using System.Buffers;
using System.Collections.Concurrent;
using EventVault.Node.Services;
using EventVault.Protocol;
using EventVault.Rpc;
using EventVault.Rpc.Server;
using EventVault.Storage;
using EventVault.Storage.Index;
using EventVault.Storage.Io;

namespace EventVault.Node.Security;

/// <summary>Lets calls in, or not. Safe for concurrent use.</summary>
internal sealed class AccessGuard : IDisposable
{
    /// <summary>Whoever loses a right loses it within so long, also in calls that are open: between two looks at them.</summary>
    public static readonly TimeSpan SweepEvery = TimeSpan.FromSeconds(1);

    private readonly ILogger _log;
    private readonly AccessRegistry? _registry;
    private readonly Authenticator? _authenticator;
    private readonly TokenKeys? _tokenKeys;
    private readonly RefusedCredentials _refused;
    private readonly ConcurrentDictionary<OpenCall, byte> _open = new();

    /// <param name="options">Null: nobody is asked for credentials, and everybody is an administrator.</param>
    /// <param name="registry">The vault's users; null: the node has no vault yet.</param>
    /// <param name="tls">Knows whose certificates count; null: clear text.</param>
    /// <param name="log">Told when files or keys can't be read anew, whose credentials are refused, and who takes backups.</param>
    /// <exception cref="ArgumentException">A file can't be used.</exception>
    /// <exception cref="IOException">A file can't be read.</exception>
    public AccessGuard(AccessOptions? options, AccessRegistry? registry, ServerTls? tls, ILogger log)
    {
        (_registry, _log, _refused) = (registry, log, new RefusedCredentials(log, TimeProvider.System));
        if (options is null)
        {
            return;
        }

        _tokenKeys = options.Tokens is { } tokens ? new TokenKeys(tokens.Keys, e => SecurityLogMessages.KeysNotRead(log, e, tokens.Keys), TimeProvider.System) : null;
        var admin = options.AdminPasswordFile is { } file
            ? new FileValue<PasswordHash>([file], () => options.ReadAdminPassword(), e => SecurityLogMessages.FileNotRead(log, e, file))
            : null;
        _authenticator = new Authenticator(registry, admin, _tokenKeys is null ? null : new Tokens(options.Tokens!, _tokenKeys), tls, Passwords);
    }

    /// <summary>Records administrative acts, once the node can append.</summary>
    public AuditTrail? Audit { get; set; }

    /// <summary>Whether the node has been out of touch with the others for so long that its users and roles don't count any more.</summary>
    public Func<bool> IsCutOff { get; set; } = static () => false;

    /// <summary>Checks and hashes passwords.</summary>
    public PasswordChecks Passwords { get; } = new();

    /// <summary>Whether callers have to say who they are.</summary>
    public bool AsksForCredentials => _authenticator is not null;

    /// <summary>Calls that stay open and are looked after; for tests.</summary>
    public int OpenCalls => _open.Count;

    /// <summary>Calls of which it is not known yet who makes them; for tests.</summary>
    public int CallsAtTheDoor => _authenticator?.WaitingCalls ?? 0;

    /// <summary>Who calls; only behind <see cref="FilterAsync"/>.</summary>
    public static Caller CallerOf(RpcContext context) => (context.State as OpenCall)?.Caller ?? Caller.Anybody;

    /// <summary>All that rights rest on: the same object until users or roles change.</summary>
    public AccessState? State => _registry?.Current();

    /// <summary>What somebody may do now.</summary>
    /// <exception cref="DamageException">The events that say it are damaged.</exception>
    public Rights RightsOf(Caller caller)
    {
        if (caller.IsBuiltIn)
        {
            return Rights.All;
        }

        return _registry?.Current() is { } state ? caller.RightsBy(state) : Rights.None;
    }

    /// <summary>What the appends of a call may write; null: everything.</summary>
    public AppendRights? AppendsOf(RpcContext context) => context.State is OpenCall { Caller.IsBuiltIn: false } call ? new AppendRights(this, call.Caller) : null;

    /// <summary>Stands around every call.</summary>
    /// <exception cref="RpcException">UNAUTHENTICATED or PERMISSION_DENIED.</exception>
    public ValueTask FilterAsync(RpcContext context, RpcHandler next)
    {
        if (_authenticator is null)
        {
            return next(context);
        }

        var rule = AccessRules.Find(context.Method);
        return rule?.Asks == Asks.Nothing ? next(context) : LetInAsync(rule, context, next);
    }

    private async ValueTask<Caller> FindAsync(CallOrigin origin)
    {
        try
        {
            return await _authenticator!.FindAsync(origin);
        }
        catch (RpcException e) when (origin.Authorization is not null || origin.Certificate is not null)
        {
            _refused.Tell(origin, origin.Authorization is { } shown ? _authenticator!.KnownNameIn(shown) : null, e.Status.Message);
            throw;
        }
    }

    /// <summary>Tells the log that a call which was let in has shown a wrong password.</summary>
    public void TellRefused(RpcContext context, string user, string why) => _refused.Tell(new CallOrigin(context), user, why);

    private async ValueTask LetInAsync(AccessRule? rule, RpcContext context, RpcHandler next)
    {
        var caller = await FindAsync(new CallOrigin(context));
        var call = new OpenCall(context, rule ?? throw Errors.NotAllowed(caller.Name, "a rule, and this call has none").ToException(), caller);
        Require(call);
        context.State = call;
        _open.TryAdd(call, 0);
        try
        {
            await next(context);
        }
        finally
        {
            _open.TryRemove(call, out _);
        }
    }

    /// <summary>Looks at a request before its handler does.</summary>
    /// <exception cref="RpcException">PERMISSION_DENIED; or the act could not be recorded.</exception>
    public ValueTask InspectAsync(ReadOnlySequence<byte> request, RpcContext context)
    {
        if (context.State is not OpenCall { Rule.Request: { } message } call)
        {
            return ValueTask.CompletedTask;
        }

        // As the handler will do: what is malformed is refused for that.
        var parsed = RequestFields.Parse(message, request);
        call.Grants = call.Rule.Grants?.Invoke(parsed).ToArray() ?? [];
        Require(call);
        return call.Rule.Recorded switch
        {
            Recorded.BeforeItIsDone when Audit is { } audit => audit.RecordAsync(call.Caller, parsed, context),
            Recorded.AsFarAsCanBe => TryRecordAsync(call.Caller, parsed, context),
            _ => ValueTask.CompletedTask,
        };
    }

    // A backup is wanted most when the vault is least well: it is told to the log, and to the vault if that takes appends here.
    private async ValueTask TryRecordAsync(Caller caller, Google.Protobuf.IMessage request, RpcContext context)
    {
        SecurityLogMessages.Asked(_log, caller.Name, context.Peer, context.Method);
        try
        {
            await (request is ListBackupRequest && Audit is { } audit ? audit.RecordAsync(caller, request, context) : ValueTask.CompletedTask);
        }
        catch (RpcException e)
        {
            SecurityLogMessages.NotAudited(_log, context.Method, e.Status.Message);
        }
        catch (Exception e)
        {
            // Damage, a disk that fails, or a bug: no reason to have no backup.
            SecurityLogMessages.AuditFailed(_log, e, context.Method);
        }
    }

    /// <summary>Reads what there is of users and roles, so that no call waits for it.</summary>
    public void ReadAhead()
    {
        try
        {
            _ = _authenticator is null ? null : State;
        }
        catch (Exception e) when (e is DamageException or IndexDamageException or DiskException)
        {
            // Whoever calls is told.
        }
    }

    /// <summary>Ends open calls that would not be let in any more. Call it each <see cref="SweepEvery"/>.</summary>
    public void Sweep()
    {
        foreach (var (call, _) in _open)
        {
            try
            {
                if (WhyNot(call) is not null)
                {
                    call.Context.End(Errors.CredentialsEnded().ToException());
                }
            }
            catch (Exception e)
            {
                // The boundary of a timer, which would end the process: what can't be looked at for one call is no reason to leave out the others.
                // Whoever calls anew is told, and damage and disks that fail tell it themselves.
                if (e is not (DamageException or IndexDamageException or DiskException))
                {
                    SecurityLogMessages.NotLookedAt(_log, e, call.Caller.Name);
                }
            }
        }
    }

    /// <summary>
    /// Guards what is served over HTTP/1.1: other pages that a browser shows can't ask, nor those that a foreign name has led to this machine;
    /// and all but health takes credentials.
    /// </summary>
    public async Task FilterHttpAsync(HttpContext http, RequestDelegate next, bool onlyLoopback)
    {
        var headers = http.Request.Headers;
        if (onlyLoopback && !AsksForCredentials && !IsLoopback(http.Request.Host.Host))
        {
            http.Response.StatusCode = StatusCodes.Status403Forbidden;
            await http.Response.WriteAsync("The request is for another host: ask for localhost or 127.0.0.1.\n");
            return;
        }

        if (headers["Sec-Fetch-Site"].ToString() is "cross-site" or "same-site"
            || (headers.Origin.ToString() is { Length: > 0 } origin && origin != $"{http.Request.Scheme}://{http.Request.Host}"))
        {
            http.Response.StatusCode = StatusCodes.Status403Forbidden;
            await http.Response.WriteAsync("Pages of other origins can't ask this node.\n");
            return;
        }

        if (_authenticator is not null && !http.Request.Path.StartsWithSegments("/health") && !await IsSomebodyAsync(http))
        {
            return;
        }

        await next(http);
    }

    /// <summary>Whether whoever asks for a page that everybody gets has some right: to others it tells no details.</summary>
    public async ValueTask<bool> IsKnownAsync(HttpContext http)
    {
        if (_authenticator is null)
        {
            return true;
        }

        var origin = new CallOrigin(http);
        if (origin.Authorization is null && origin.Certificate is null)
        {
            return false;
        }

        try
        {
            var caller = await FindAsync(origin);
            return _authenticator.Holds(caller) && !IsShutOut(caller) && !RightsOf(caller).IsNone;
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException or DamageException or IndexDamageException or DiskException)
        {
            return false; // Whether the node is well must be told in any case.
        }
    }

    public void Dispose() => _tokenKeys?.Dispose();

    private async Task<bool> IsSomebodyAsync(HttpContext http)
    {
        try
        {
            var caller = await FindAsync(new CallOrigin(http));
            if (!_authenticator!.Holds(caller))
            {
                throw Errors.CredentialsEnded().ToException();
            }

            if (IsShutOut(caller))
            {
                throw Errors.CutOff().ToException();
            }

            if (!RightsOf(caller).IsNone)
            {
                return true;
            }

            http.Response.StatusCode = StatusCodes.Status403Forbidden;
        }
        catch (RpcException e)
        {
            http.Response.StatusCode = e.Code == RpcCode.Unauthenticated ? StatusCodes.Status401Unauthorized : StatusCodes.Status503ServiceUnavailable;
            http.Response.Headers.WWWAuthenticate = "Basic realm=\"EventVault\", charset=\"UTF-8\"";
            await http.Response.WriteAsync(e.Status.Message + "\n");
        }

        return false;
    }

    private static bool IsLoopback(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || (System.Net.IPAddress.TryParse(host.Trim('[', ']'), out var address) && System.Net.IPAddress.IsLoopback(address));

    private void Require(OpenCall call)
    {
        if (WhyNot(call) is { } refusal)
        {
            throw refusal.ToException();
        }
    }

    // What a node knows of users that has been cut off for long may be as old.
    private bool IsShutOut(Caller caller) => !caller.IsBuiltIn && IsCutOff();

    private Refusal? WhyNot(OpenCall call)
    {
        if (!_authenticator!.Holds(call.Caller))
        {
            if (call.Caller.Certificate is not null)
            {
                call.Connection.Retire(); // A client that has another certificate by now shows it on its next one.
            }

            return Errors.CredentialsEnded();
        }

        if (IsShutOut(call.Caller))
        {
            return Errors.CutOff();
        }

        var rights = RightsOf(call.Caller);
        if (call.Rule.Asks == Asks.Admin && !rights.IsAdmin)
        {
            return Errors.NotAllowed(call.Caller.Name, "admin");
        }

        if (call.Rule.Asks != Asks.Itself && rights.IsNone)
        {
            return Errors.NotAllowed(call.Caller.Name, "some right");
        }

        foreach (var grant in call.Grants)
        {
            if (!rights.Allow(grant))
            {
                return Errors.NotAllowed(call.Caller.Name, grant.ToString());
            }
        }

        return null;
    }

    /// <summary>A call that is being handled.</summary>
    private sealed class OpenCall(RpcContext context, AccessRule rule, Caller caller)
    {
        public RpcContext Context => context;

        /// <summary>Of the call: taken while it runs for certain, as its context is another one's afterwards.</summary>
        public RpcConnection Connection { get; } = context.Connection;

        public AccessRule Rule => rule;

        public Caller Caller => caller;

        /// <summary>What its request takes; empty until that is known.</summary>
        public IReadOnlyList<Grant> Grants { get; set; } = [];
    }
}
