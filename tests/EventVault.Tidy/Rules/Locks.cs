using System.Text.RegularExpressions;

namespace EventVault.Tidy.Rules;

/// <summary>Every lock has its place in the order of docs/THREADING.md.</summary>
internal static partial class Locks
{
    public static IEnumerable<Violation> Check(SourceFile file, SourceFile threading)
    {
        var type = Path.GetFileNameWithoutExtension(file.Name);
        for (var i = 0; i < file.Code.Length; i++)
        {
            if (Lock().IsMatch(file.Code[i]) && !Regex.IsMatch(threading.Text, $@"\b{Regex.Escape(type)}\b"))
            {
                yield return new Violation(file.Path, i + 1, $"takes a lock, and {threading.Path} does not know of {type}. Add it to the order of locks there.");
                yield break;
            }
        }
    }

    [GeneratedRegex(@"\block\s*\(|\bMonitor\.Enter\b|\.EnterScope\(|\bSemaphoreSlim\b|\bReaderWriterLock")]
    private static partial Regex Lock();
}
