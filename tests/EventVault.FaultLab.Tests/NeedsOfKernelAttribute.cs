namespace EventVault.FaultLab.Tests;

/// <summary>
/// A test that needs what not every kernel has, so also not each that CI runs on, and what can't be installed: without it the test counts as skipped, and says so.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class NeedsOfKernelAttribute : FactAttribute
{
    /// <param name="path">A file that is there if the kernel can do it.</param>
    /// <param name="what">What can't be tested without it.</param>
    public NeedsOfKernelAttribute(string path, string what)
    {
        if (!File.Exists(path))
        {
            Skip = $"NOT PROVEN HERE: this kernel has no {path}, so {what} can't be tested.";
        }
    }
}
