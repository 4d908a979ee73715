// Copies a command; without a script the text can be selected all the same.
for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Gekopieerd";
    setTimeout(() => { button.textContent = "Kopieer"; }, 2000);
  });
}
